import { randomBytes } from 'node:crypto';
import { DataKeys } from '../../src/platform/crypto/data-keys.js';
import { Pools } from '../../src/platform/database/pools.js';
import { MemoryStore } from '../../src/platform/redis/memory-store.js';
import { FakeSharedStore } from '../fakes/fake-shared-store.js';
import { FakeClock } from '../fakes/fake-clock.js';
import { ADMIN, request, TestApp, type RegisteredDevice } from '../factories/app.js';
import { asMigrator } from '../factories/registry.js';
import { nonce, signedBy, topicOf } from '../factories/signing-device.js';

interface Verification {
  readonly verified: boolean;
  readonly reason?: string;
  readonly deviceId: string | null;
  readonly channel: string | null;
  readonly body?: unknown;
}

const HOUR = 3_600_000;

describe('HMAC secrets and the verifier behind REST', () => {
  let app: TestApp;
  let clock: FakeClock;
  let store: FakeSharedStore;
  let slugs = 0;

  beforeAll(async () => {
    clock = new FakeClock(Date.now());
    store = new FakeSharedStore({ clock });
    app = await TestApp.start({ store, clock });
  });

  afterAll(() => app.stop());

  /** As the first admin, whose token ends with the hour. */
  let headers: Record<string, string> | undefined;
  const call = <T = Record<string, unknown>>(method: string, path: string, body?: unknown) => app.call<T>(method, path, body, headers);
  const register = async (): Promise<RegisteredDevice> =>
    (await call<RegisteredDevice>('POST', '/devices', { slug: `v-${(slugs += 1)}`, credentials: ['hmac'] })).body;
  const verify = async (topic: string, message: unknown, on = app) => {
    const { status, body } = await on.call<Verification>('POST', '/messages/verify', { topic, message }, on === app ? headers : undefined);
    expect({ status, body }).toMatchObject({ status: 200 });
    return body;
  };
  const signed = (device: RegisteredDevice, more: { ts?: number; secret?: string; nonce?: string } = {}) =>
    signedBy(device, 'telemetry', { data: { t: 1 } }, { ts: clock.now(), ...more });

  it('gives the secret once, with the registration', async () => {
    const device = await register();
    expect(device.hmac_secret).toMatch(/^[0-9a-f]{64}$/);
    expect(device).not.toHaveProperty('client_secret');
    const { body } = await call<{ items: object[] }>('GET', `/devices/${device.id}/credentials`);
    expect(body.items).toEqual([expect.objectContaining({ kind: 'hmac', state: 'active', expiresAt: null })]);
    expect(JSON.stringify(body)).not.toContain(device.hmac_secret);
    const { body: found } = await call<{ items: { id: string }[] }>('GET', '/devices?credential=hmac&limit=200');
    expect(found.items.map(({ id }) => id)).toContain(device.id);
  });

  it('verifies text and object alike, once each', async () => {
    const device = await register();
    const text = signed(device);
    const topic = topicOf(device, 'telemetry');
    expect(await verify(topic, text)).toEqual({ verified: true, deviceId: device.id, channel: 'telemetry', body: { data: { t: 1 } } });
    expect(await verify(topic, JSON.parse(text))).toEqual({ verified: false, reason: 'REPLAY', deviceId: device.id, channel: 'telemetry' });
    expect(await verify(topic, JSON.parse(signed(device)))).toMatchObject({ verified: true });
  });

  it('says why not', async () => {
    const device = await register();
    const topic = topicOf(device, 'telemetry');
    const text = signed(device);
    expect(await verify(topic, '{"data":1}')).toMatchObject({ verified: false, reason: 'UNSIGNED' });
    expect(await verify(topic, text.replace('"t":1', '"t":2'))).toMatchObject({ reason: 'BAD_SIGNATURE' });
    expect(await verify(topic, text.replace('"t":1', '"t":1,"t":1'))).toMatchObject({ reason: 'MALFORMED' });
    expect(await verify(topicOf(device, 'events/x'), text)).toMatchObject({ reason: 'BAD_SIGNATURE' });
    expect(await verify('devices/x/telemetry', text)).toEqual({ verified: false, reason: 'WRONG_TOPIC', deviceId: null, channel: null });
    expect(await verify(topic, signed(device, { ts: clock.now() - 300_001 }))).toMatchObject({ reason: 'STALE' });
    expect(await verify(topic, signed(device, { ts: clock.now() + 60_001 }))).toMatchObject({ reason: 'FUTURE' });
    await call('POST', `/devices/${device.id}/suspend`, { reason: 'x' });
    expect(await verify(topic, text)).toMatchObject({ reason: 'DEVICE_STATE' });
    expect((await call('POST', '/messages/verify', { topic, message: 7 })).status).toBe(400);
    expect((await app.call('POST', '/messages/verify', { topic, message: '{}' }, {})).status).toBe(401);
  });

  it('never feeds a suspension', async () => {
    const device = await register();
    for (let i = 0; i < 15; i += 1) await verify(topicOf(device, 'telemetry'), signed(device, { secret: '00'.repeat(32) }));
    expect((await call('GET', `/devices/${device.id}`)).body).toMatchObject({ status: 'ACTIVE' });
  });

  it('accepts one of a hundred copies at once, over two instances', async () => {
    const device = await register();
    const second = await TestApp.start({ database: app.database, config: app.config, store, clock });
    try {
      const text = signed(device);
      const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => verify(topicOf(device, 'telemetry'), text, i % 2 ? app : second)));
      expect(answers.filter(({ verified }) => verified)).toHaveLength(1);
      expect(new Set(answers.map(({ reason }) => reason))).toEqual(new Set([undefined, 'REPLAY']));
    } finally {
      await second.stop();
    }
  });

  it('verifies old and new for an hour after a rotation, then the new one alone', async () => {
    const device = await register();
    const topic = topicOf(device, 'telemetry');
    await verify(topic, signed(device));
    const { body } = await call<{ hmac_secret: string; previousValidUntil: string }>('POST', `/devices/${device.id}/rotate-secret`);
    expect(Date.parse(body.previousValidUntil) - clock.now()).toBe(HOUR);
    expect(await verify(topic, signed(device))).toMatchObject({ verified: true });
    expect(await verify(topic, signed(device, { secret: body.hmac_secret }))).toMatchObject({ verified: true });
    clock.advance(HOUR);
    headers = await app.loginAs(ADMIN.email, ADMIN.password);
    expect(await verify(topic, signed(device))).toMatchObject({ reason: 'BAD_SIGNATURE' });
    expect(await verify(topic, signed(device, { secret: body.hmac_secret }))).toMatchObject({ verified: true });
  });

  it('ends a secret at once when it is revoked, and all of them with the device', async () => {
    const device = await register();
    const topic = topicOf(device, 'telemetry');
    expect(await verify(topic, signed(device))).toMatchObject({ verified: true });
    const { body } = await call<{ items: { id: string }[] }>('GET', `/devices/${device.id}/credentials`);
    const revoked = await call('DELETE', `/devices/${device.id}/credentials/${body.items[0]?.id}?reason=leaked`);
    expect(revoked.body).toMatchObject({ revoked: [body.items[0]?.id] });
    expect(await verify(topic, signed(device))).toMatchObject({ reason: 'BAD_SIGNATURE' });
  });

  it('accepts nothing while nonces cannot be kept', async () => {
    const device = await register();
    await verify(topicOf(device, 'telemetry'), signed(device));
    const claim = jest.spyOn(store, 'claim').mockRejectedValue(new (await import('../../src/platform/redis/key-value.js')).StoreUnavailableError('gone'));
    try {
      const answer = await call('POST', '/messages/verify', { topic: topicOf(device, 'telemetry'), message: signed(device) });
      expect(answer).toMatchObject({ status: 503, body: { code: 'MESSAGE_NOT_VERIFIABLE' } });
    } finally {
      claim.mockRestore();
    }
  });

  it('accepts nothing older than a store that starts empty', async () => {
    const device = await register();
    const text = signed(device);
    expect(await verify(topicOf(device, 'telemetry'), text)).toMatchObject({ verified: true });
    clock.advance(1_000);
    const restarted = await TestApp.start({ database: app.database, config: app.config, store: new MemoryStore({ clock }), clock });
    try {
      expect(await verify(topicOf(device, 'telemetry'), text, restarted)).toMatchObject({ verified: false, reason: 'STALE' });
      expect(await verify(topicOf(device, 'telemetry'), signed(device), restarted)).toMatchObject({ verified: true });
    } finally {
      await restarted.stop();
    }
  });

  it('keeps secrets sealed in Postgres and in the shared store; a value that is moved to another row does not open', async () => {
    const [one, two] = [await register(), await register()];
    const written = jest.spyOn(store, 'writeIfNewer');
    await verify(topicOf(one, 'telemetry'), signed(one));
    const values = written.mock.calls.map(([, , value]) => value ?? '');
    written.mockRestore();
    expect(values.some((value) => value.includes('sealed'))).toBe(true);
    const key = Buffer.from(one.hmac_secret, 'hex');
    for (const value of values) {
      for (const form of [one.hmac_secret, key.toString('base64'), key.toString('base64url')]) expect(value).not.toContain(form);
    }
    const rows = await asMigrator<{ sealed: Buffer }>(app.database, 'SELECT sealed FROM device_secrets');
    expect(rows.some(({ sealed }) => sealed.includes(key))).toBe(false);
    await asMigrator(app.database,
      'UPDATE device_secrets s SET sealed = o.sealed FROM device_secrets o WHERE s.device_id = $1 AND o.device_id = $2', [two.id, one.id]);
    const moved = await call('POST', '/messages/verify', { topic: topicOf(two, 'telemetry'), message: signed(two, { secret: one.hmac_secret }) });
    expect(moved.status).toBe(500);
  });

  it('opens everything after the master key was replaced, also when the replacement was broken off', async () => {
    const device = await register();
    const [old] = app.config.masterKeys;
    const fresh = { kid: 'fresh', key: randomBytes(32) };
    const keys = (masterKeys: typeof app.config.masterKeys) => new DataKeys({ ...app.config, masterKeys }, app.app.get(Pools));
    const broken = keys([fresh, ...(old ? [old] : [])]).rewrap((done) => {
      if (done === 1) throw new Error('broken off');
    });
    await expect(broken).rejects.toThrow('broken off');
    const seen: string[] = [];
    const left = await keys([fresh, ...(old ? [old] : [])]).rewrap((done, total) => seen.push(`${done} of ${total}`));
    expect(left).toBeGreaterThan(0);
    expect(seen.at(-1)).toBe(`${left} of ${left}`);
    expect(await keys([fresh]).rewrap()).toBe(0);
    const only = await TestApp.start({ database: app.database, config: { ...app.config, masterKeys: [fresh] }, store: new MemoryStore({ clock }), clock });
    try {
      expect(await verify(topicOf(device, 'telemetry'), signed(device), only)).toMatchObject({ verified: true });
    } finally {
      await only.stop();
    }
  });

  it('asks a rule engine to come again while no verified copy can be published, and tells it why a message is refused', async () => {
    const device = await register();
    const sink = (body: unknown, secret = app.config.internal.secrets[0] ?? '') =>
      request<Record<string, unknown>>(`http://127.0.0.1:${app.internalPort}/api/v1/internal/mqtt-messages`, 'POST', { 'x-internal-auth': secret }, body);
    const topic = topicOf(device, 'telemetry');
    expect((await sink({ topic, payload: signed(device), retain: 'false', dup: 'false' })).status).toBe(503);
    expect(await sink({ topic, payload: signed(device, { secret: '00'.repeat(32) }) })).toMatchObject({ status: 200, body: { verified: false, reason: 'BAD_SIGNATURE' } });
    const encoded = Buffer.from(signed(device, { ts: clock.now() - 400_000, nonce: nonce() })).toString('base64');
    expect((await sink({ topic, payload_base64: encoded })).body).toEqual({ verified: false, reason: 'STALE' });
    expect((await sink('not json')).status).toBe(400);
    expect((await sink({ topic, payload: '{}' }, 'wrong')).status).toBe(404);
  });
});
