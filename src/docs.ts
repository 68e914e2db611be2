import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { BINDING_BUNDLES, BINDING_ROLES, Permission, PLATFORM_BUNDLES, ROLE_BUNDLES, ROLES, type PlatformRole } from './access/permission.js';
import { rolesToBind } from './access/decision.js';
import { SCOPE_PERMISSIONS, scopeNameOf } from './access/scope.js';
import { AUDIT_EVENTS } from './audit/audit-event.js';
import { LINT_RULES, type LintRule } from './broker-lint/finding.js';
import { ALL_REASONS } from './broker/reason-catalogue.js';
import { ERROR_CATALOGUE } from './catalogue.js';
import { describeApi } from './openapi.js';
import { readConfig } from './platform/config/read-config.js';
import { VARIABLES } from './platform/config/variables.js';

/** Pages that are printed from the code, by their path below `docs/`. A test compares them with what is committed. */
export async function generatedDocs(): Promise<ReadonlyMap<string, string>> {
  return new Map([
    ['errors.md', errorsPage()],
    ['permissions.md', permissionsPage()],
    ['configuration.md', configurationPage()],
    ['audit-events.md', auditPage()],
    ['broker-linter.md', linterPage()],
    ['openapi.json', `${JSON.stringify(await describeApi(documentedConfig()), null, 2)}\n`],
  ]);
}

/** Writes the pages, or with `check` only compares. Answers an exit code. */
export async function writeDocs(check: boolean, folder = 'docs'): Promise<number> {
  let different = 0;
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of await generatedDocs()) {
    const file = path.join(folder, name);
    if (readIfThere(file) === text) continue;
    different += 1;
    if (!check) writeFileSync(file, text);
    process.stdout.write(`${file} ${check ? 'differs from the code' : 'written'}\n`);
  }
  return check && different > 0 ? 1 : 0;
}

function readIfThere(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}

/** A configuration with every default, so that the document does not depend on who prints it. */
function documentedConfig() {
  const secret = () => randomBytes(36).toString('base64url');
  return readConfig({
    DATABASE_URL: 'postgresql://unused/unused',
    JWT_SECRET: secret(),
    MQTT_INTERNAL_AUTH_SECRET: secret(),
    ADMIN_KEY: secret(),
    SECRETS_MASTER_KEYS: `docs:${randomBytes(32).toString('base64')}`,
  });
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function linterPage(): string {
  // A line of configuration, or a sentence.
  const shown = (write: string) => (/^[A-Z]/.test(write) ? write : write.split(', or ').map((line) => `\`${line}\``).join(', or '));
  const row = ([id, { severity, why, write }]: [string, LintRule]) => [`\`${id}\``, severity, why, shown(write)];
  return `${GENERATED}

# The broker linter

\`npx portcullis broker check\` reads the configuration of the EMQX at \`EMQX_API_URL\` (\`GET /api/v5/configs\`) and reports every setting that lets
traffic past Portcullis, or through when Portcullis is down. \`--file emqx.conf\` reads a file instead, \`--json\` prints JSON, \`--waive id,…\`
bears findings. Exit code 1: there are errors that nobody waived.

A production process does the same every minute. \`/health/ready\` is red (\`brokerConfiguration\`) until there is no error that
\`BROKER_LINT_WAIVE\` does not name; what was found stands in the log. Without \`EMQX_API_URL\` that error is \`unread\`. Once something was read,
a management API that does not answer changes nothing: the last reading counts until there is another.

A file is read by itself: what the environment (\`EMQX_…\`) or the dashboard changes is not in it. The running broker knows all of it, but
EMQX never tells its zones (\`zones\`), and answers passwords as stars.

${table(['finding', 'severity', 'why', 'write'], Object.entries<LintRule>(LINT_RULES).map(row))}
`;
}

const GENERATED = '<!-- Printed by `npm run docs` from the code; a test compares the two. -->';

function errorsPage(): string {
  const codes = Object.entries(ERROR_CATALOGUE).sort(([a], [b]) => (a < b ? -1 : 1));
  return `${GENERATED}

# Error codes and reasons

REST answers every refusal as problem details (RFC 9457, \`application/problem+json\`): \`type\`, \`title\`, \`status\`, \`detail\`, \`instance\`,
\`code\`, \`requestId\`, and \`errors[]\` of \`{path, message}\` for a request that is not valid. \`code\` is stable; \`detail\` is for people.
A device, group, user or rule of another tenant answers exactly as one that does not exist.

${table(['code', 'status', 'title', 'meaning'], codes.map(([code, { status, title, meaning }]) => [`\`${code}\``, String(status), title, meaning]))}

## Reasons of the broker's door

The callbacks always answer 200 with \`allow\`, \`deny\` or \`ignore\`. Why stands in the audit log (\`details.reason\`), in the metric
\`portcullis_decisions_total\` (label \`reason\`) and in the answer of \`POST /api/v1/devices/{id}/explain\`.

${table(['reason', 'meaning'], Object.entries(ALL_REASONS).map(([reason, meaning]) => [`\`${reason}\``, meaning]))}
`;
}

function permissionsPage(): string {
  const mark = (granted: boolean) => (granted ? 'yes' : '');
  const platformRoles = Object.keys(PLATFORM_BUNDLES) as PlatformRole[];
  return `${GENERATED}

# Permissions

A permission is \`service.resource.verb\`. A role is a named bundle of them, for one tenant; it is looked up on every request, so a demotion
holds on the next one. Refusals inside the tenant are 403 \`PERMISSION_DENIED\`; objects of another tenant are 404.

## Roles of a tenant

${table(
    ['permission', ...ROLES],
    Object.values(Permission).filter((permission) => !permission.startsWith('platform.'))
      .map((permission) => [`\`${permission}\``, ...ROLES.map((role) => mark(ROLE_BUNDLES[role].includes(permission)))]),
  )}

MEMBER may do nothing by itself: it is for people who have roles on some groups or devices only.

## Roles on a group or a device

What a role gives where it is bound to a group (its devices and the groups in it) or to one device (\`POST /role-bindings\`). Topic rules are
written, and groups moved and deleted, by roles in the tenant alone. Who may not see an object gets 404, as if there were none; who
sees it and may not do this gets 403.

${table(
    ['permission', ...BINDING_ROLES],
    Object.values(Permission).filter((permission) => rolesToBind(permission).length > 0)
      .map((permission) => [`\`${permission}\``, ...BINDING_ROLES.map((role) => mark(BINDING_BUNDLES[role].includes(permission)))]),
  )}

## Scopes of personal access tokens

A scope is \`{entity_type, operation, entity_id, optional_domain_id?}\` or the dotted permission; both say the same, and answers show both.
\`entity_id\` is \`*\` or the id that stands in the path (\`{id}\`): such a scope counts on routes of that one object only. Dotted, that is
\`devices.device.read:{id}\`. \`optional_domain_id\` may only name the tenant to which the token is bound. A token without scopes may do
nothing. What a token may do is what its scopes and its owner's roles allow **both**, looked up on every request. Self routes
(\`/pats\`, \`/auth/*\` but for \`/auth/devices/token\`) need a session, and the platform's permissions are for no token.

${table(
    ['entity_type', 'operation', 'permission'],
    SCOPE_PERMISSIONS.map((permission) => ({ permission, ...scopeNameOf(permission) }))
      .map(({ permission, entityType, operation }) => [`\`${entityType}\``, `\`${operation}\``, `\`${permission}\``]),
  )}

## Roles of the platform

${table(
    ['permission', ...platformRoles],
    Object.values(Permission).filter((permission) => permission.startsWith('platform.'))
      .map((permission) => [`\`${permission}\``, ...platformRoles.map((role) => mark(PLATFORM_BUNDLES[role].includes(permission)))]),
  )}

The first admin is ADMIN of \`default\` and PLATFORM_ADMIN.
`;
}

function configurationPage(): string {
  const groups = Object.entries(VARIABLES).map(([group, variables]) => `## ${group}

${table(['variable', 'default', 'meaning'], variables.map(({ name, fallback, meaning }) => [`\`${name}\``, fallback === '' ? '' : `\`${fallback}\``, meaning]))}`);
  return `${GENERATED}

# Configuration

Everything is read from the environment, once, at start. One message names every variable that is wrong, and the process stops.
Unset \`DATABASE_URL\`, \`REDIS_URL\` or \`MQTT_URL\` means the embedded stand-in; with \`NODE_ENV=production\` an unset one stops the start.
Secrets have at least 32 characters, differ from each other and are no sample values; outside production missing ones are made once and
kept in the data directory (\`secrets.json\`, mode 0600).

${groups.join('\n\n')}
`;
}

function auditPage(): string {
  return `${GENERATED}

# Audit events

Rows of \`security_audit_logs\`, read by \`GET /api/v1/audit/logs\`. The severity is what an event bears unless it says otherwise.

${table(['event', 'severity', 'meaning'], Object.entries(AUDIT_EVENTS).map(([name, { severity, meaning }]) => [`\`${name}\``, severity, meaning]))}
`;
}
