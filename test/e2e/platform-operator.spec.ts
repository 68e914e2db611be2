import { randomUUID } from 'node:crypto';
import { Permission } from '../../src/access/permission.js';
import type { Principal } from '../../src/access/principal.js';
import { Standing } from '../../src/access/standing.js';
import { withRequestContext } from '../../src/platform/context/request-context.js';
import { Transactions } from '../../src/platform/database/transactions.js';
import { request, TestApp, type RegisteredDevice, type Reply } from '../factories/app.js';
import { administer, ROLE_PREFIX } from '../factories/database.js';
import { EventReader } from '../factories/event-reader.js';
import { operationsOf, type OpenApi, type Operation } from '../factories/operations.js';

const PASSWORD = 'vbx7-aqk-lantern';

type Headers = Record<string, string>;

let app: TestApp;
let operations: Operation[] = [];
let tenantId = '';
let admin: Headers = {};
let operator: Headers = {};
let operatorId = '';
const ids: Record<string, string> = {};

const pathOf = ({ path, query }: Operation): string =>
  path.replace(/\{(\w+)\}/g, (_, name: string) => ids[name === 'id' ? path.split('/')[1] ?? '' : name] ?? randomUUID()) + query;
const codeOf = ({ status, body }: Reply<unknown>): string => `${status} ${(body as { code?: string } | undefined)?.code ?? ''}`.trim();

async function made(path: string, body: object): Promise<string> {
  const answer = await app.call<{ id: string }>('POST', path, body, admin);
  if (answer.status !== 201) throw new Error(`${path} answered ${codeOf(answer)}`);
  return answer.body.id;
}

beforeAll(async () => {
  app = await TestApp.start();
  operations = operationsOf((await request<OpenApi>(`${app.url}/docs/openapi.json`, 'GET', {})).body);
  tenantId = (await app.call<{ id: string }>('POST', '/tenants', { slug: 'far', name: 'Far' })).body.id;
  const bearer = { authorization: `Bearer ${app.adminToken}` };
  admin = { ...bearer, 'x-tenant': 'far' };
  const device = await app.call<RegisteredDevice & { certificate: { serial: string } }>(
    'POST', '/devices', { slug: 'pump', credentials: ['secret', 'token', 'hmac', 'certificate'] }, admin);
  ids['devices'] = ids['deviceId'] = device.body.id;
  ids['serial'] = device.body.certificate.serial;
  ids['groups'] = await made('/groups', { slug: 'g' });
  await app.call('POST', `/groups/${ids['groups']}/members`, { deviceIds: [device.body.id] }, admin);
  await made(`/groups/${ids['groups']}/rules`, { action: 'publish', topic: `devices/${device.body.id}/extra` });
  ids['service-accounts'] = await made('/service-accounts', { name: 'bridge' });
  ids['commandId'] = await made(`/devices/${device.body.id}/commands`, { type: 'reboot', payload: {}, ttl: 60 });
  await made('/invitations', { email: 'guest@example.test' });
  ids['users'] = ids['userId'] = await made('/users', { email: 'far-user@example.test', password: PASSWORD, name: 'x', role: 'ADMIN' });
  const theirs = await app.loginAs('far-user@example.test', PASSWORD);
  await app.call('POST', '/pats', { name: 'x', duration: '24h', scopes: ['devices.device.read'] }, theirs);

  // What lies elsewhere must not be seen through the role that sees everything.
  await app.registerDevice('at-home');
  operatorId = (await app.call<{ id: string }>('POST', '/users', { email: 'operator@example.test', password: PASSWORD, name: 'x', role: 'VIEWER' })).body.id;
  expect((await app.call('PATCH', `/accounts/${operatorId}`, { platformRole: 'PLATFORM_OPERATOR' })).status).toBe(200);
  operator = { ...(await app.loginAs('operator@example.test', PASSWORD)), 'x-read-tenant': 'far' };
});

afterAll(() => app.stop());

describe('a PLATFORM_OPERATOR in a tenant that is not their own', () => {
  it('reads all that its ADMIN reads, and the same', async () => {
    const reads = operations.filter(({ reads: safe, streams, access }) => safe && !streams && access.endsWith('.read') && !access.startsWith('platform.'));
    expect(reads.length).toBeGreaterThan(15);
    const told: string[] = [];
    for (const operation of reads) {
      const path = pathOf(operation);
      const [theirs, ours] = [await app.call('GET', path, undefined, admin), await app.call('GET', path, undefined, operator)];
      const comparable = operation.path.startsWith('/audit') ? { status: theirs.status } : { status: theirs.status, body: { ...theirs.body, requestId: 0 } };
      if (JSON.stringify(comparable.status) !== JSON.stringify(ours.status)) told.push(`${operation.path}: ${codeOf(ours)} instead of ${codeOf(theirs)}`);
      else if ('body' in comparable && theirs.status === 200 && JSON.stringify(theirs.body) !== JSON.stringify(ours.body)) told.push(`${operation.path}: another body`);
    }
    expect(told).toEqual([]);
    const list = await app.call<{ items: { slug: string }[] }>('GET', '/devices', undefined, operator);
    expect(list.body.items.map(({ slug }) => slug)).toEqual(['pump']);
  });

  it('changes nothing there, exports nothing, and has no tenant that does not exist', async () => {
    const writes = operations.filter(({ reads, access }) => !reads && access !== 'public' && access !== 'session');
    expect(writes.length).toBeGreaterThan(40);
    const wrong: string[] = [];
    for (const operation of writes) {
      const code = codeOf(await app.call(operation.method, pathOf(operation), operation.body, operator));
      if (code !== '403 PERMISSION_DENIED') wrong.push(`${operation.method} ${operation.path} answered ${code}`);
    }
    expect(wrong).toEqual([]);
    expect(codeOf(await app.call('GET', '/audit/logs/export', undefined, operator))).toBe('403 PERMISSION_DENIED');
    expect(codeOf(await app.call('GET', '/devices', undefined, { ...operator, 'x-read-tenant': 'nowhere' }))).toBe('404 NOT_FOUND');
    expect(codeOf(await app.call('GET', '/auth/me', undefined, operator))).toBe('404 NOT_FOUND');
  });

  it('does not act there: by X-Tenant no tenant but the own exists', async () => {
    const { authorization = '' } = operator;
    expect(codeOf(await app.call('GET', '/devices', undefined, { authorization, 'x-tenant': 'far' }))).toBe('404 NOT_FOUND');
    expect(codeOf(await app.call('GET', '/devices', undefined, { ...operator, 'x-tenant': 'far' }))).toBe('400 MALFORMED_REQUEST');
  });

  it('is read in the same way by a PLATFORM_ADMIN who only looks, and by nobody outside of the platform plane', async () => {
    const looking = { authorization: admin['authorization'] ?? '', 'x-read-tenant': 'far' };
    expect((await app.call<{ items: object[] }>('GET', '/devices', undefined, looking)).body.items).toHaveLength(1);
    expect(codeOf(await app.call('DELETE', `/groups/${ids['groups']}`, undefined, looking))).toBe('403 PERMISSION_DENIED');
    const theirs = await app.loginAs('far-user@example.test', PASSWORD);
    for (const tenant of ['far', 'default']) {
      expect(codeOf(await app.call('GET', '/devices', undefined, { ...theirs, 'x-read-tenant': tenant }))).toBe('404 NOT_FOUND');
    }
  });

  it('is told to that tenant each time', async () => {
    await app.call('GET', `/devices/${ids['devices']}`, undefined, operator);
    const rows = async () => {
      const log = await app.call<{ items: { userId: string | null; actor: { id: string }; details: { reason: string; platformRole: string } }[] }>(
        'GET', '/audit/logs?eventType=TENANT_ENTERED&limit=200', undefined, admin);
      return log.body.items.filter(({ actor }) => actor.id === operatorId).map(({ details }) => `${details.platformRole} ${details.reason}`);
    };
    const expected = `PLATFORM_OPERATOR PLATFORM_OPERATOR GET /api/v1/devices/${ids['devices']}`;
    for (let tries = 0; tries < 200 && !(await rows()).includes(expected); tries += 1) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await rows()).toContain(expected);
  });

  it('follows its security log for as long as the role lasts', async () => {
    const reader = await EventReader.open(`${app.url}/api/v1/audit/logs/stream`, operator);
    expect(reader.status).toBe(200);
    reader.close();
    const standing = app.app.get(Standing);
    const claims = JSON.parse(Buffer.from((operator['authorization'] ?? '').split('.')[1] ?? '', 'base64url').toString()) as { sid: string };
    const principal: Principal = {
      kind: 'user', id: operatorId, tenantId, role: 'VIEWER', platformRole: 'PLATFORM_OPERATOR', permissions: new Set(), sessionId: claims.sid, credential: 'bearer',
    };
    expect(await standing.stillMay(principal, Permission.AuditRead, Date.now())).toBe(true);
    expect(await standing.stillMay(principal, Permission.AuditExport, Date.now())).toBe(false);
  });

  it('reads through the database role that can only read, and sees that tenant alone', async () => {
    const transactions = app.app.get(Transactions);
    const within = <T>(work: (query: <R>(sql: string) => Promise<R[]>) => Promise<T>): Promise<T> =>
      withRequestContext({ requestId: 'x', ip: '127.0.0.1', readsOnly: true }, () => transactions.run({ tenantId }, (tx) => work((sql) => tx.query(sql))));
    expect(await within((query) => query('SELECT current_user AS role'))).toEqual([{ role: `${ROLE_PREFIX}_reader` }]);
    expect(await within((query) => query('SELECT slug FROM devices'))).toEqual([{ slug: 'pump' }]);
    const tables = await within((query) => query<{ name: string }>(
      `SELECT c.relname AS name FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
          AND has_column_privilege(c.oid, a.attnum, 'SELECT')`));
    expect(tables.length).toBeGreaterThan(10);
    for (const { name } of tables) {
      const owners = await within((query) => query<{ owner: string }>(`SELECT DISTINCT tenant_id AS owner FROM ${name} WHERE tenant_id <> '${tenantId}'`));
      expect({ name, owners: owners.length }).toEqual({ name, owners: 0 });
    }
    await expect(within((query) => query(`UPDATE devices SET slug = 'x'`))).rejects.toThrow(/read-only transaction|permission denied/);
    await expect(within((query) => query('SET TRANSACTION READ WRITE').then(() => query(`UPDATE devices SET slug = 'x'`)))).rejects.toThrow(/permission denied|must be set before/);
    await expect(within((query) => query('SELECT password_hash FROM users'))).rejects.toThrow(/permission denied/);
    // And the route really goes that way: without the role's grant there is no answer.
    const grant = (what: string) => administer(app.database.url, async (client) => {
      await client.query(`SET ROLE ${ROLE_PREFIX}_migrator`);
      await client.query(`${what} ${ROLE_PREFIX}_reader`);
    });
    await grant('REVOKE SELECT ON devices FROM');
    expect((await app.call('GET', '/devices', undefined, operator)).status).toBe(500);
    expect((await app.call('GET', '/devices', undefined, admin)).status).toBe(200);
    await grant('GRANT SELECT ON devices TO');
    expect((await app.call('GET', '/devices', undefined, operator)).status).toBe(200);
  });

  it('is out on the next request when the role is taken away', async () => {
    await app.call('PATCH', `/accounts/${operatorId}`, { platformRole: 'NONE' });
    expect(codeOf(await app.call('GET', '/devices', undefined, operator))).toBe('404 NOT_FOUND');
  });
});
