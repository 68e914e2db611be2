import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { authorityState } from './pki/authority.js';
import type { AuthoritySuccessionService } from './pki/authority-succession.service.js';
import type { CertificatesService } from './pki/certificates.service.js';
import { KEY_TYPES, type KeyType } from './pki/keys.js';
import type { TenantsService } from './users/tenants.service.js';

export const PKI_HELP = `  pki list [--tenant SLUG]
                       the root and the tenant's issuing authorities, and how many good certificates rest on each
  pki import-root FILE a root whose key stays offline: its certificate alone
  pki request --out FILE [--type EC|RSA] [--tenant SLUG]
                       a key for an issuing authority, which stays here, and a request to be signed by the root
  pki import FILE [--tenant SLUG]
                       the certificate that was signed for a request: it issues from now on
  pki roll-over [--type EC|RSA] [--tenant SLUG]
                       a new issuing authority below the root here; the one before stays trusted for what it issued
  pki broker --host NAME[,NAME] --out DIR [--tenant SLUG]
                       a certificate for the broker's own listeners: broker.pem (with its chain), broker-key.pem
`;

/** What the commands work on: services of an application that was opened for them. */
export interface PkiTools {
  readonly succession: AuthoritySuccessionService;
  readonly certificates: CertificatesService;
  readonly tenants: TenantsService;
  readonly print: (text: string) => void;
}

type Options = Readonly<Record<string, string | undefined>>;

/** `portcullis pki …` beside running instances. Answers an exit code. */
export async function runPki(args: string[], tools: PkiTools): Promise<number> {
  const text = { type: 'string' } as const;
  const { values, positionals } = parseArgs({ args, allowPositionals: true, options: { tenant: text, type: text, out: text, host: text } });
  const [command = '', file = ''] = positionals;
  const { succession, print } = tools;
  switch (command) {
    case 'list':
      return list(values, tools);
    case 'import-root': {
      const root = await succession.importRoot(readFileSync(file, 'utf8'));
      print(`Root ${root.id}, good until ${root.notAfter.toISOString()}. Authorities below it are signed where its key is: pki request.\n`);
      return 0;
    }
    case 'request': {
      const { out } = values;
      if (out === undefined) return usage(print, '--out is needed');
      const { id, csr } = await succession.request(await tenantOf(values, tools), keyTypeOf(values));
      writeFileSync(out, csr, { flag: 'wx' });
      print(`${out}: request of authority ${id}. Have it signed by the root, then: pki import.\n`);
      return 0;
    }
    case 'import':
      return told(await succession.importIssuing(await tenantOf(values, tools), readFileSync(file, 'utf8')), print);
    case 'roll-over':
      return told(await succession.rollOver(await tenantOf(values, tools), keyTypeOf(values)), print);
    case 'broker':
      return issueBroker(values, tools);
    default:
      return usage(print, command === '' ? 'say what to do' : `pki ${command} is no command`);
  }
}

/** The second issue goes into the place of the first: whoever replaces both files has renewed. */
async function issueBroker(options: Options, tools: PkiTools): Promise<number> {
  const { host = '', out } = options;
  const hosts = host.split(',').map((name) => name.trim()).filter((name) => name !== '');
  if (out === undefined || hosts.length === 0) return usage(tools.print, '--host and --out are needed');
  const names = hosts.map((name) => (isIP(name) === 0 ? { dns: name } : { ip: name }));
  const { certificate, chain, privateKey, notAfter } = await tools.certificates.issueServer(await tenantOf(options, tools), names);
  mkdirSync(out, { recursive: true });
  const file = (name: string): string => path.join(out, name);
  writeFileSync(file('broker-key.pem'), privateKey ?? '', { mode: 0o600 });
  writeFileSync(file('broker.pem'), certificate + chain);
  tools.print(`${file('broker.pem')} for ${hosts.join(', ')}, good until ${new Date(notAfter).toISOString()}; its key in ${file('broker-key.pem')}.\n`);
  return 0;
}

async function list(options: Options, { succession, tenants, print }: PkiTools): Promise<number> {
  for (const { authority, remaining } of await succession.list(await tenantOf(options, { tenants }))) {
    const { id, kind, notAfter, keyHere } = authority;
    const rest = remaining === null ? '' : `  ${remaining} good`;
    print(`${id}  ${kind.padEnd(7)}  ${authorityState(authority).padEnd(7)}  until ${notAfter.toISOString().slice(0, 10)}  key ${keyHere ? 'here' : 'elsewhere'}${rest}\n`);
  }
  return 0;
}

async function tenantOf({ tenant }: Options, { tenants }: Pick<PkiTools, 'tenants'>): Promise<string> {
  if (tenant === undefined) return tenants.defaultTenantId();
  const found = await tenants.findByName(tenant);
  if (found === null) throw new Error(`There is no tenant "${tenant}".`);
  return found.id;
}

function keyTypeOf({ type }: Options): { keyType?: KeyType } {
  if (type === undefined) return {};
  const keyType = KEY_TYPES.find((known) => known === type);
  if (keyType === undefined) throw new Error('--type is EC or RSA');
  return { keyType };
}

function told({ previous, current, remaining }: { previous: string | null; current: string; remaining: number }, print: (text: string) => void): number {
  print(`Authority ${current} issues from now on.\n`);
  if (previous !== null) print(`${remaining} good certificates still rest on ${previous}; both are trusted meanwhile.\n`);
  return 0;
}

function usage(print: (text: string) => void, why: string): number {
  print(`${why}\n\n${PKI_HELP}`);
  return 2;
}
