import { TenantPurge } from '../../src/lifecycle/tenant-purge.js';
import { ADMIN, TestApp, type Reply } from '../factories/app.js';
import { administer, ROLE_PREFIX } from '../factories/database.js';
import { mqttConnect, within } from '../factories/mqtt-client.js';
import { FakeClock } from '../fakes/fake-clock.js';

interface TenantBody {
  readonly id: string;
  readonly slug: string;
  readonly status: string;
  readonly code?: string;
  readonly subjects?: number;
  readonly deleteAfter: string | null;
}

const PASSWORD = 'vbx7-aqk-lantern';

let app: TestApp;
let clock: FakeClock;
let slugs = 0;

beforeAll(async () => {
  clock = new FakeClock(Date.now());
  app = await TestApp.start({ broker: true, clock });
});

afterAll(() => app.stop());

const inside = (tenant: string) => ({ authorization: `Bearer ${app.adminToken}`, 'x-tenant': tenant });

async function tenant(): Promise<TenantBody> {
  const { status, body } = await app.call<TenantBody>('POST', '/tenants', { slug: `fleet-${(slugs += 1)}`, name: 'A fleet' });
  expect(status).toBe(201);
  return body;
}

async function account(email: string, role = 'VIEWER', headers?: Record<string, string>): Promise<string> {
  const made = await app.call<{ id: string }>('POST', '/users', { email, password: PASSWORD, name: email, role }, headers);
  expect(made.status).toBe(201);
  return made.body.id;
}

const codeOf = (reply: Reply<unknown>) => [reply.status, (reply.body as { code?: string }).code];

async function rows<T extends object>(sql: string, params: unknown[] = []): Promise<T[]> {
  let found: T[] = [];
  await administer(app.database.url, async (client) => {
    await client.query(`SET ROLE ${ROLE_PREFIX}_migrator`);
    found = (await client.query<T>(sql, params)).rows;
  });
  return found;
}

describe('tenants', () => {
  it('are made, renamed and listed by the platform, and by nobody else', async () => {
    const made = await tenant();
    expect(made).toMatchObject({ status: 'ACTIVE', deleteAfter: null });
    expect(codeOf(await app.call('POST', '/tenants', { slug: made.slug, name: 'again' }))).toEqual([409, 'TENANT_SLUG_TAKEN']);
    const renamed = await app.call<TenantBody>('PATCH', `/tenants/${made.id}`, { slug: `${made.slug}-b` });
    expect([renamed.status, renamed.body.slug]).toEqual([200, `${made.slug}-b`]);
    expect(codeOf(await app.call('PATCH', `/tenants/${made.id}`, { slug: 'default' }))).toEqual([409, 'TENANT_SLUG_TAKEN']);
    const list = await app.call<{ items: TenantBody[] }>('GET', '/tenants?limit=200');
    expect(list.body.items.map(({ slug }) => slug)).toEqual(expect.arrayContaining(['default', `${made.slug}-b`]));
    await account('mere-admin@example.test', 'ADMIN');
    const mere = await app.loginAs('mere-admin@example.test', PASSWORD);
    for (const [method, path] of [
      ['GET', '/tenants'], ['POST', '/tenants'], ['GET', `/tenants/${made.id}`], ['POST', `/tenants/${made.id}/freeze`],
      ['DELETE', `/tenants/${made.id}`], ['GET', `/tenants/${made.id}/members`], ['POST', `/tenants/${made.id}/members`],
    ] as const) {
      expect([path, ...codeOf(await app.call(method, path, method === 'POST' ? {} : undefined, mere))]).toEqual([path, 403, 'PERMISSION_DENIED']);
    }
  });

  it('keep their things apart: what one has is not there for the other', async () => {
    const [a, b] = [await tenant(), await tenant()];
    const made = await app.call<{ id: string }>('POST', '/devices', { slug: 'pump' }, inside(a.slug));
    expect(made.status).toBe(201);
    expect((await app.call('GET', `/devices/${made.body.id}`, undefined, inside(a.id))).status).toBe(200);
    expect(codeOf(await app.call('GET', `/devices/${made.body.id}`, undefined, inside(b.id)))).toEqual([404, 'DEVICE_NOT_FOUND']);
    expect((await app.call('GET', `/devices/${made.body.id}`)).status).toBe(404);
    expect((await app.call('POST', '/devices', { slug: 'pump' }, inside(b.slug))).status).toBe(201);
  });

  it('have members: an account chooses one at login, and loses it alone', async () => {
    const made = await tenant();
    const id = await account('shared@example.test', 'OPERATOR');
    const added = await app.call('POST', `/tenants/${made.id}/members`, { email: 'Shared@Example.test', role: 'ADMIN' });
    expect([added.status, added.body['id'], added.body['role']]).toEqual([201, id, 'ADMIN']);
    expect(codeOf(await app.call('POST', `/tenants/${made.id}/members`, { email: 'shared@example.test', role: 'VIEWER' }))).toEqual([409, 'MEMBER_EXISTS']);
    expect(codeOf(await app.call('POST', `/tenants/${made.id}/members`, { email: 'ghost@example.test', role: 'VIEWER' }))).toEqual([404, 'USER_NOT_FOUND']);
    await app.call('POST', `/tenants/${made.id}/members`, { email: ADMIN.email, role: 'ADMIN' });
    const login = await app.call<{ access_token: string }>('POST', '/auth/login', { email: 'shared@example.test', password: PASSWORD, tenant: made.slug }, {});
    const there = { authorization: `Bearer ${login.body.access_token}` };
    const here = await app.loginAs('shared@example.test', PASSWORD);
    expect((await app.call('GET', '/auth/me', undefined, there)).body).toMatchObject({ role: 'ADMIN', tenant: { slug: made.slug } });
    expect((await app.call('GET', '/auth/me', undefined, here)).body).toMatchObject({ role: 'OPERATOR', tenant: { slug: 'default' } });
    expect((await app.call('DELETE', `/tenants/${made.id}/members/${id}`)).status).toBe(204);
    expect((await app.call('GET', '/auth/me', undefined, there)).status).toBe(401);
    expect((await app.call('GET', '/auth/me', undefined, here)).status).toBe(200);
    const members = await app.call<{ items: { email: string }[] }>('GET', `/tenants/${made.id}/members`);
    expect(members.body.items.map(({ email }) => email)).toEqual([ADMIN.email]);
  });

  it('are no way to an account: an ADMIN of one cannot touch what a shared member is elsewhere', async () => {
    const made = await tenant();
    const id = await account('target@example.test', 'ADMIN');
    await account('taker@example.test', 'ADMIN', inside(made.slug));
    await app.call('POST', `/tenants/${made.id}/members`, { email: 'target@example.test', role: 'VIEWER' });
    const taker = await app.loginAs('taker@example.test', PASSWORD);
    for (const body of [{ email: 'mine@example.test' }, { password: 'another-long-one-7' }, { platformRole: 'PLATFORM_ADMIN' }, { role: 'ADMIN', email: 'x@y.z' }]) {
      expect(codeOf(await app.call('PATCH', `/users/${id}`, body, taker))).toEqual([400, 'VALIDATION_FAILED']);
    }
    expect(codeOf(await app.call('POST', '/users', { email: 'target@example.test', password: PASSWORD, name: 'x' }, taker))).toEqual([409, 'USER_EMAIL_TAKEN']);
    expect((await app.call('POST', `/users/${id}/disable`, undefined, taker)).status).toBe(200);
    expect((await app.call('DELETE', `/users/${id}`, undefined, taker)).status).toBe(204);
    const target = await app.loginAs('target@example.test', PASSWORD);
    expect((await app.call('GET', '/auth/me', undefined, target)).body).toMatchObject({ role: 'ADMIN', tenant: { slug: 'default' } });
    expect((await app.call('GET', '/users', undefined, { ...taker, 'x-tenant': 'default' })).status).toBe(404);
  });
});

describe('a frozen tenant', () => {
  it('has no live session within a second, refuses connects and writes, allows reads, and opens again', async () => {
    const made = await tenant();
    const device = await app.call<{ id: string; client_secret: string }>('POST', '/devices', { slug: 'pump' }, inside(made.slug));
    const { id, client_secret: password } = device.body;
    const connect = () => mqttConnect(app.broker!.port, { clientId: id, username: id, password });
    const { client } = await connect();
    const closed = within(new Promise<void>((resolve) => client.once('close', () => resolve())), 'the ejection', 1_000);
    const frozen = await app.call<TenantBody>('POST', `/tenants/${made.id}/freeze`, { reason: 'unpaid' });
    expect([frozen.status, frozen.body.status, frozen.body.subjects]).toEqual([200, 'FROZEN', 1]);
    await closed;
    await expect(connect()).rejects.toThrow();
    expect((await app.call('GET', '/devices', undefined, inside(made.slug))).status).toBe(200);
    expect((await app.call('POST', `/devices/${id}/explain`, { action: 'connect' }, inside(made.slug))).status).toBe(200);
    for (const [method, path, body] of [
      ['POST', '/devices', { slug: 'another' }], ['PATCH', `/devices/${id}`, { name: 'x' }], ['POST', `/devices/${id}/suspend`, { reason: 'x' }],
      ['POST', '/groups', { slug: 'g' }], ['DELETE', `/devices/${id}`, undefined],
    ] as const) {
      expect([path, ...codeOf(await app.call(method, path, body, inside(made.slug)))]).toEqual([path, 403, 'TENANT_FROZEN']);
    }
    const basic = { authorization: `Basic ${Buffer.from(`${id}:${password}`).toString('base64')}` };
    expect((await app.call('POST', `/devices/${id}/token`, {}, basic)).status).toBe(401);
    expect((await app.call<TenantBody>('POST', `/tenants/${made.id}/freeze`, { reason: 'again' })).status).toBe(200);
    const opened = await app.call<TenantBody>('POST', `/tenants/${made.id}/unfreeze`, { reason: 'paid' });
    expect(opened.body.status).toBe('ACTIVE');
    const again = await connect();
    again.client.end(true);
    expect((await app.call('POST', '/groups', { slug: 'g' }, inside(made.slug))).status).toBe(201);
    const events = await rows<{ event_type: string }>(
      `SELECT event_type FROM security_audit_logs WHERE tenant_id = $1 AND event_type LIKE 'TENANT_%FROZEN' ORDER BY occurred_at`,
      [made.id],
    );
    expect(events.map(({ event_type: type }) => type)).toEqual(['TENANT_FROZEN', 'TENANT_UNFROZEN']);
  });

  it('is deleted after its grace with all that it has, unless that is taken back', async () => {
    const made = await tenant();
    const device = await app.call<{ id: string }>('POST', '/devices', { slug: 'pump' }, inside(made.slug));
    const group = await app.call<{ id: string }>('POST', '/groups', { slug: 'g' }, inside(made.slug));
    await app.call('POST', `/groups/${group.body.id}/members`, { deviceIds: [device.body.id] }, inside(made.slug));
    await account('gone@example.test', 'ADMIN', inside(made.slug));
    const gone = await app.loginAs('gone@example.test', PASSWORD);
    await app.call('POST', '/pats', { name: 'x', duration: '24h', scopes: [] }, gone);
    const purge = () => app.app.get(TenantPurge).purge();
    const doomed = await app.call<TenantBody>('DELETE', `/tenants/${made.id}?reason=gone&grace=10m`);
    expect([doomed.body.status, Date.parse(doomed.body.deleteAfter ?? '')]).toEqual(['FROZEN', clock.now() + 600_000]);
    expect(codeOf(await app.call('POST', `/tenants/${made.id}/unfreeze`, { reason: 'x' }))).toEqual([409, 'TENANT_DELETION_PENDING']);
    await purge();
    expect((await app.call('GET', `/tenants/${made.id}`)).status).toBe(200);
    const kept = await app.call<TenantBody>('POST', `/tenants/${made.id}/restore`);
    expect(kept.body).toMatchObject({ status: 'FROZEN', deleteAfter: null });
    await app.call('DELETE', `/tenants/${made.id}?reason=gone&grace=10m`);
    clock.advance(600_000);
    await purge();
    expect(codeOf(await app.call('GET', `/tenants/${made.id}`))).toEqual([404, 'TENANT_NOT_FOUND']);
    expect((await app.call('GET', '/auth/me', undefined, gone)).status).toBe(401);
    expect(await rows('SELECT 1 FROM devices WHERE tenant_id = $1', [made.id])).toEqual([]);
    expect(await rows(`SELECT 1 FROM users WHERE email = 'gone@example.test'`)).toHaveLength(1);
    expect(await rows(`SELECT 1 FROM security_audit_logs WHERE tenant_id = $1 AND event_type = 'TENANT_CREATED'`, [made.id])).toHaveLength(1);
    const [home] = await rows<{ id: string }>(`SELECT id FROM tenants WHERE slug = 'default'`);
    expect(codeOf(await app.call('DELETE', `/tenants/${home?.id}`))).toEqual([409, 'TENANT_IS_DEFAULT']);
  });
});
