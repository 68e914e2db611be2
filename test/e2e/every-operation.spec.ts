import { randomUUID } from 'node:crypto';
import { ROLE_BUNDLES, type Permission } from '../../src/access/permission.js';
import { request, TestApp, type RegisteredDevice, type Reply } from '../factories/app.js';
import { administer, ROLE_PREFIX } from '../factories/database.js';
import { operationsOf, type OpenApi, type Operation } from '../factories/operations.js';

const PASSWORD = 'vbx7-aqk-lantern';
const READING = /\.(read|explain|export)$/;

type Headers = Record<string, string>;

let app: TestApp;
let operations: Operation[] = [];
/** Ids of things of the tenant that is attacked, by the name that a path gives them. */
const ids: Record<string, string> = {};
const callers: Record<string, Headers> = {};

const codeOf = ({ status, body }: Reply<unknown>): string => `${status} ${(body as { code?: string } | undefined)?.code ?? ''}`.trim();
const inside = (tenant: string): Headers => ({ authorization: `Bearer ${app.adminToken}`, 'x-tenant': tenant });

async function made(path: string, body: object, headers: Headers): Promise<string> {
  const answer = await app.call<{ id: string }>('POST', path, body, headers);
  if (answer.status !== 201) throw new Error(`${path} answered ${codeOf(answer)}`);
  return answer.body.id;
}

async function person(name: string, role: string, tenant: string): Promise<{ id: string; headers: Headers }> {
  const email = `${name}@example.test`;
  const id = await made('/users', { email, password: PASSWORD, name, role }, inside(tenant));
  return { id, headers: await app.loginAs(email, PASSWORD) };
}

/** A path with the ids of the attacked tenant; what has no fixture gets an id that nobody has. */
function pathOf({ path, query }: Operation): string {
  const collection = path.split('/')[1] ?? '';
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => ids[name === 'id' ? collection : name] ?? randomUUID());
  return filled + query;
}

async function call(operation: Operation, headers: Headers): Promise<Reply<unknown>> {
  const path = pathOf(operation);
  if (!operation.streams) return app.call(operation.method, path, operation.reads ? undefined : operation.body, headers);
  const hangUp = new AbortController();
  const answer = await fetch(`${app.url}/api/v1${path}`, { headers, signal: hangUp.signal });
  const body: unknown = answer.ok ? {} : await answer.json();
  hangUp.abort();
  return { status: answer.status, headers: answer.headers, body };
}

/** Each operation's answer, as one list: a failure shows all that are wrong, by name. */
async function answers(which: Operation[], headers: Headers, expected: (operation: Operation) => string | RegExp): Promise<void> {
  const wrong: string[] = [];
  for (const operation of which) {
    const code = codeOf(await call(operation, headers));
    const wanted = expected(operation);
    const good = typeof wanted === 'string' ? code === wanted : wanted.test(code);
    if (!good) wrong.push(`${operation.method} ${operation.path} answered ${code}, not ${String(wanted)}`);
  }
  expect(wrong).toEqual([]);
}

/** Every row of the attacked tenant but the log and what merely counts uses, as text. */
async function stateOf(tenantId: string): Promise<string> {
  let state = '';
  await administer(app.database.url, async (client) => {
    await client.query(`SET ROLE ${ROLE_PREFIX}_migrator`);
    const { rows } = await client.query<{ name: string }>(
      `SELECT c.relname AS name FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
          AND c.relname NOT IN ('security_audit_logs', 'idempotency_keys') ORDER BY 1`,
    );
    for (const { name } of rows) {
      const table = await client.query<{ row: string }>(`SELECT (to_jsonb(t) - 'last_used_at' - 'last_used_ip')::text AS row FROM ${name} t WHERE tenant_id = $1 ORDER BY 1`, [tenantId]);
      state += `${name}\n${table.rows.map(({ row }) => row).join('\n')}\n`;
    }
  });
  return state;
}

const guarded = () => operations.filter(({ access }) => access !== 'public');
const permitted = () => guarded().filter(({ access }) => access !== 'session');
const ofPlatform = ({ access }: Operation): boolean => access.startsWith('platform.');

beforeAll(async () => {
  app = await TestApp.start();
  const document = await request<OpenApi>(`${app.url}/docs/openapi.json`, 'GET', {});
  operations = operationsOf(document.body);
  for (const slug of ['attacked', 'attacker', 'frozen']) ids[slug] = await made('/tenants', { slug, name: slug }, inside('default'));
  const admin = inside('attacked');
  const device = await app.call<RegisteredDevice & { certificate: { serial: string } }>(
    'POST', '/devices', { slug: 'pump', credentials: ['secret', 'hmac', 'certificate'] }, admin);
  ids['serial'] = device.body.certificate.serial;
  ids['devices'] = ids['deviceId'] = device.body.id;
  ids['groups'] = await made('/groups', { slug: 'g' }, admin);
  ids['service-accounts'] = await made('/service-accounts', { name: 'bridge' }, admin);
  ids['ruleId'] = await made(`/devices/${device.body.id}/rules`, { action: 'publish', topic: `devices/${device.body.id}/extra` }, admin);
  const credentials = await app.call<{ items: { id: string }[] }>('GET', `/devices/${device.body.id}/credentials`, undefined, admin);
  ids['credentialId'] = credentials.body.items[0]?.id ?? '';
  ids['commandId'] = await made(`/devices/${device.body.id}/commands`, { type: 'reboot', payload: {}, ttl: 3600 }, admin);
  ids['invitations'] = await made('/invitations', { email: 'guest@example.test' }, admin);
  ids['tenants'] = ids['attacked'] ?? '';
  const owner = await person('owner', 'ADMIN', 'attacked');
  ids['users'] = ids['userId'] = ids['accounts'] = owner.id;
  ids['role-bindings'] = await made('/role-bindings', { userId: owner.id, role: 'VIEWER', deviceId: device.body.id }, admin);
  const authorities = await app.call<{ items: { id: string; kind: string }[] }>('GET', '/authorities', undefined, admin);
  ids['authorities'] = authorities.body.items.find(({ kind }) => kind === 'issuing')?.id ?? '';
  ids['pats'] = await made('/pats', { name: 'x', duration: '24h', scopes: ['devices.device.read'] }, owner.headers);
  const sessions = await app.call<{ items: { id: string }[] }>('GET', '/auth/sessions', undefined, owner.headers);
  ids['auth'] = sessions.body.items[0]?.id ?? '';

  callers['viewer'] = (await person('viewer', 'VIEWER', 'attacked')).headers;
  callers['outsider'] = (await person('outsider', 'ADMIN', 'attacker')).headers;
  callers['frozen'] = (await person('cold', 'ADMIN', 'frozen')).headers;
  const barren = await app.call<{ secret: string }>('POST', '/pats', { name: 'barren', duration: '24h', scopes: [] }, owner.headers);
  callers['barren'] = { authorization: `Bearer ${barren.body.secret}` };
  const disabled = await person('disabled', 'ADMIN', 'attacked');
  const orphaned = await app.call<{ secret: string }>('POST', '/pats', { name: 'orphan', duration: '24h', scopes: ['devices.device.read'] }, disabled.headers);
  await app.call('POST', `/users/${disabled.id}/disable`, undefined, admin);
  callers['disabled'] = disabled.headers;
  callers['orphaned'] = { authorization: `Bearer ${orphaned.body.secret}` };
  const removed = await person('removed', 'ADMIN', 'attacked');
  await app.call('DELETE', `/users/${removed.id}`, undefined, admin);
  callers['removed'] = await app.loginAs('removed@example.test', PASSWORD);
  await app.call('POST', `/tenants/${ids['frozen']}/freeze`, { reason: 'test' });
  callers['owner'] = owner.headers;
});

afterAll(() => app.stop());

// Every operation, several times over: on a busy machine that takes its time.
jest.setTimeout(180_000);

describe('every operation of the document', () => {
  it('declares who may call it', () => {
    expect(operations.length).toBeGreaterThan(60);
    expect(operations.filter(({ access }) => access === 'undeclared')).toEqual([]);
  });

  it('is tried on things that are there: an id that nobody has would be refused by any means', () => {
    const unknown = operations.flatMap(({ path }) => [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => (name === 'id' ? path.split('/')[1] ?? '' : name)));
    expect([...new Set(unknown)].filter((name) => ids[name] === undefined)).toEqual([]);
  });

  it('changes nothing where it is a GET', async () => {
    const before = await stateOf(ids['attacked'] ?? '');
    for (const operation of guarded().filter(({ reads }) => reads)) {
      const { status } = await call(operation, callers['owner'] ?? {});
      expect({ path: operation.path, failed: status >= 500 }).toEqual({ path: operation.path, failed: false });
    }
    expect(await stateOf(ids['attacked'] ?? '')).toBe(before);
  });

  it('wants a credential, unless it is public', async () => {
    await answers(guarded(), {}, () => '401 UNAUTHENTICATED');
  });

  it('takes no token that is not ours', async () => {
    for (const token of ['a.b.c', 'pat_x', `pat_${'A'.repeat(22)}_${'A'.repeat(43)}`]) {
      const expected = /^401 (TOKEN_INVALID|UNAUTHENTICATED)$/;
      await answers(guarded(), { authorization: `Bearer ${token}` }, () => expected);
    }
  });

  it('is closed to whoever was disabled, by session and by access token', async () => {
    await answers(guarded(), callers['disabled'] ?? {}, () => '401 TOKEN_INVALID');
    await answers(guarded(), callers['orphaned'] ?? {}, () => '401 TOKEN_INVALID');
  });

  it('is closed to a role without its permission, and to an account without a tenant', async () => {
    const beyondViewer = permitted().filter(({ access }) => !ROLE_BUNDLES.VIEWER.includes(access as Permission));
    expect(beyondViewer.length).toBeGreaterThan(30);
    await answers(beyondViewer, callers['viewer'] ?? {}, () => '403 PERMISSION_DENIED');
    await answers(permitted(), callers['removed'] ?? {}, () => '403 PERMISSION_DENIED');
    await answers(permitted().filter(ofPlatform), callers['owner'] ?? {}, () => '403 PERMISSION_DENIED');
  });

  it('is closed to an access token without the scope', async () => {
    await answers(guarded(), callers['barren'] ?? {}, () => /^403 (PERMISSION_DENIED|SESSION_REQUIRED)$/);
  });

  it('has nothing of another tenant, and changes nothing there', async () => {
    const before = await stateOf(ids['attacked'] ?? '');
    expect(before).toContain(ids['devices']);
    const own = permitted().filter((operation) => !ofPlatform(operation));
    const named = { ...callers['outsider'], 'x-tenant': 'attacked' };
    await answers(permitted(), named, () => '404 NOT_FOUND');
    await answers(own.filter(({ path }) => path.includes('{')), callers['outsider'] ?? {}, () => /^404 \w+_NOT_FOUND$|^404 NOT_FOUND$/);
    const self = guarded().filter(({ access, path }) => access === 'session' && path.includes('{'));
    expect(self.length).toBeGreaterThan(3);
    await answers(self, callers['outsider'] ?? {}, () => /^404 \w+_NOT_FOUND$/);
    expect(await stateOf(ids['attacked'] ?? '')).toBe(before);
  });

  it('of a frozen tenant may read and change nothing', async () => {
    const before = await stateOf(ids['frozen'] ?? '');
    const own = permitted().filter((operation) => !ofPlatform(operation));
    await answers(own, callers['frozen'] ?? {}, ({ reads, access }) =>
      reads || READING.test(access) ? /^(200|404 \w+|400 \w+)$/ : '403 TENANT_FROZEN');
    expect(await stateOf(ids['frozen'] ?? '')).toBe(before);
  });
});
