import { USUAL_TIMES } from '../../src/audit/audit-vigil.js';
import { RedisStore } from '../../src/platform/redis/redis-store.js';
import { TestApp, type RegisteredDevice } from '../factories/app.js';
import { cloneDatabase, type TestDatabase } from '../factories/database.js';
import { EventReader } from '../factories/event-reader.js';
import { within } from '../factories/mqtt-client.js';
import { until } from '../factories/until.js';
import { PrivateRedis } from '../fakes/private-redis.js';

const HAS_REDIS = (process.env['TEST_REDIS_URL'] ?? '') !== '';
const PASSWORD = 'vbx7-aqk-lantern';
/** Longer than the promise, which is arithmetic (below): a busy machine is late with everything. */
const PATIENCE_MS = 20_000;

type Headers = Record<string, string>;

(HAS_REDIS ? describe : describe.skip)('what is taken from a person or a tenant, with two instances on one Postgres and one Redis,', () => {
  let database: TestDatabase;
  let redis: PrivateRedis;
  let a: TestApp;
  let b: TestApp;
  const open: EventReader[] = [];
  let count = 0;

  beforeAll(async () => {
    database = await cloneDatabase();
    redis = await PrivateRedis.start();
    a = await TestApp.start({ database, store: new RedisStore({ url: redis.url }) });
    b = await TestApp.start({ database, config: a.config, store: new RedisStore({ url: redis.url }) });
  });
  afterEach(() => open.splice(0).forEach((reader) => reader.close()));
  afterAll(async () => {
    await b.stop();
    await a.stop();
    await redis.kill();
    await database.drop();
  });

  const inside = (tenant: string): Headers => ({ authorization: `Bearer ${a.adminToken}`, 'x-tenant': tenant });

  const person = async (role: string, tenant = 'default'): Promise<{ id: string; session: Headers; pat: Headers; patId: string }> => {
    const email = `person-${(count += 1)}@example.test`;
    const made = await a.call<{ id: string }>('POST', '/users', { email, password: PASSWORD, name: 'x', role }, inside(tenant));
    const session = await a.loginAs(email, PASSWORD);
    const scopes = ['devices.device.read', 'devices.device.create', 'audit.log.read'];
    const pat = await a.call<{ id: string; secret: string }>('POST', '/pats', { name: 'x', duration: '1h', scopes }, session);
    expect([made.status, pat.status]).toEqual([201, 201]);
    return { id: made.body.id, session, patId: pat.body.id, pat: { authorization: `Bearer ${pat.body.secret}` } };
  };

  const write = async (app: TestApp, headers: Headers): Promise<string> => {
    const { status, body } = await app.call<{ code?: string }>('POST', '/devices', { slug: `d-${(count += 1)}` }, headers);
    return `${status} ${body.code ?? ''}`.trim();
  };
  const read = async (app: TestApp, headers: Headers): Promise<number> => (await app.call('GET', '/devices', undefined, headers)).status;

  const follow = async (app: TestApp, headers: Headers): Promise<EventReader> => {
    const reader = await EventReader.open(`${app.url}/api/v1/audit/logs/stream`, headers);
    open.push(reader);
    expect(reader.status).toBe(200);
    return reader;
  };

  const change = async (app: TestApp, method: string, path: string, body?: object, headers?: Headers): Promise<void> => {
    const { status } = await app.call(method, path, body, headers);
    expect({ path, good: status < 300 }).toEqual({ path, good: true });
  };

  it('ends streams within five seconds: the look at the right and the wait for the next row are shorter together', () => {
    expect(USUAL_TIMES.recheck + USUAL_TIMES.poll).toBeLessThan(5_000);
  });

  it('is gone on the very next request of both, and their open streams end', async () => {
    const [demoted, disabled, revoked, ended, left] = [
      await person('ADMIN'), await person('ADMIN'), await person('ADMIN'), await person('ADMIN'), await person('ADMIN'),
    ];
    const all = [demoted, disabled, revoked, ended, left];
    for (const { session, pat } of all) {
      for (const app of [a, b]) for (const headers of [session, pat]) expect(await write(app, headers)).toBe('201');
    }
    const streams = [
      await follow(b, demoted.session), await follow(a, demoted.pat), await follow(b, disabled.session), await follow(a, disabled.pat),
      await follow(b, revoked.pat), await follow(b, ended.session), await follow(a, left.session), await follow(b, left.pat),
    ];
    const staying = await follow(b, revoked.session);

    await change(a, 'PATCH', `/users/${demoted.id}`, { role: 'VIEWER' });
    for (const headers of [demoted.session, demoted.pat]) {
      expect(await write(b, headers)).toBe('403 PERMISSION_DENIED');
      expect(await write(a, headers)).toBe('403 PERMISSION_DENIED');
      expect(await read(b, headers)).toBe(200);
    }
    await change(b, 'POST', `/users/${disabled.id}/disable`);
    for (const headers of [disabled.session, disabled.pat]) {
      expect([await read(a, headers), await read(b, headers)]).toEqual([401, 401]);
    }
    await change(a, 'PATCH', `/pats/${revoked.patId}/revoke`, undefined, revoked.session);
    expect([await read(b, revoked.pat), await read(a, revoked.pat)]).toEqual([401, 401]);
    expect([await read(b, revoked.session), await read(a, revoked.session)]).toEqual([200, 200]);
    const sessions = await a.call<{ items: { id: string; current: boolean }[] }>('GET', '/auth/sessions', undefined, ended.session);
    await change(b, 'DELETE', `/auth/sessions/${sessions.body.items.find(({ current }) => current)?.id}`, undefined, ended.session);
    expect([await read(a, ended.session), await read(b, ended.session)]).toEqual([401, 401]);
    expect([await read(a, ended.pat), await read(b, ended.pat)]).toEqual([200, 200]);
    await change(a, 'POST', `/users/${left.id}/offboard`, { reason: 'left' });
    for (const headers of [left.session, left.pat]) expect([await read(b, headers), await read(a, headers)]).toEqual([401, 401]);

    const ends = await Promise.all(streams.map((stream) => within(stream.end(), 'the end of a stream', PATIENCE_MS)));
    for (const end of ends) expect(end.data).toEqual({ reason: 'ACCESS_ENDED' });
    // Who lost nothing reads on.
    const device = await a.registerDevice(`told-${(count += 1)}`);
    await change(a, 'POST', `/devices/${device.id}/suspend`, { reason: 'test' });
    await within(staying.about(device.id), 'a row', PATIENCE_MS);
  });

  it('a frozen tenant is refused every write and every connect by both, reads on, and opens on both', async () => {
    const made = await a.call<{ id: string; slug: string }>('POST', '/tenants', { slug: 'cold', name: 'Cold' });
    const admin = await person('ADMIN', 'cold');
    const device = (await a.call<RegisteredDevice>('POST', '/devices', { slug: 'pump' }, admin.session)).body;
    const connect = async (app: TestApp, password = device.client_secret): Promise<string> =>
      (await app.ask('mqtt-auth', { clientid: device.id, username: device.id, password, listener_kind: 'plain' })).body.result;
    const publish = async (app: TestApp): Promise<string> =>
      (await app.ask('mqtt-acl', { clientid: device.id, username: device.id, action: 'publish', topic: `devices/${device.id}/telemetry`, qos: '1', retain: 'false' })).body.result;
    for (const app of [a, b, a, b]) {
      expect([await connect(app), await connect(app, device.access_token), await publish(app)]).toEqual(['allow', 'allow', 'allow']);
    }
    await change(b, 'POST', `/tenants/${made.body.id}/freeze`, { reason: 'unpaid' });
    for (const app of [a, b]) {
      for (const headers of [admin.session, admin.pat]) {
        expect(await write(app, headers)).toBe('403 TENANT_FROZEN');
        expect(await read(app, headers)).toBe(200);
      }
      expect(await write(app, { authorization: `Bearer ${app.adminToken}`, 'x-tenant': 'cold' })).toBe('403 TENANT_FROZEN');
      const basic = Buffer.from(`${device.id}:${device.client_secret}`).toString('base64');
      expect((await app.call('POST', `/devices/${device.id}/token`, {}, { authorization: `Basic ${basic}` })).status).toBeGreaterThanOrEqual(401);
      await until('the freeze at the gate', async () => (await connect(app)) === 'deny' && (await publish(app)) === 'deny', 1_000);
    }
    for (const app of [a, b, b, a]) expect([await connect(app), await connect(app, device.access_token), await publish(app)]).toEqual(['deny', 'deny', 'deny']);
    await change(a, 'POST', `/tenants/${made.body.id}/unfreeze`, { reason: 'paid' });
    for (const app of [a, b]) {
      expect(await write(app, admin.session)).toBe('201');
      await until('the thaw at the gate', async () => (await connect(app)) === 'allow', 1_000);
    }
  });
});
