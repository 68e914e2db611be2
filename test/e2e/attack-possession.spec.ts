import { randomBytes } from 'node:crypto';
import { AuditStream } from '../../src/audit/audit.stream.js';
import { Pools } from '../../src/platform/database/pools.js';
import { TestApp, type RegisteredDevice } from '../factories/app.js';
import { administer } from '../factories/database.js';
import { eventually } from '../factories/flood.js';
import { FakeClock } from '../fakes/fake-clock.js';

/** Failures in five minutes that suspend. */
const THRESHOLD = 10;
const LISTENER = { listener_kind: 'token', peerhost: '192.0.2.9' };

type Question = Record<string, unknown>;

/** A registry of its own on a clock that the test moves. */
class Scene {
  private number = 0;

  private constructor(readonly app: TestApp, readonly clock: FakeClock) {}

  static async open(env: Record<string, string> = {}): Promise<Scene> {
    const clock = new FakeClock(Date.now());
    return new Scene(await TestApp.start({ env, clock }), clock);
  }

  device(): Promise<RegisteredDevice> {
    return this.app.registerDevice(`device-${(this.number += 1)}`);
  }

  async connect(question: Question, times = 1): Promise<string[]> {
    const results: string[] = [];
    for (let i = 0; i < times; i += 1) results.push((await this.app.ask('mqtt-auth', { ...LISTENER, ...question })).body.result);
    return results;
  }

  async statusOf(table: 'devices' | 'service_accounts', id: string): Promise<string> {
    let status = '';
    await administer(this.app.database.url, async (client) => {
      const { rows } = await client.query<{ status: string }>(`SELECT status FROM ${table} WHERE id = $1`, [id]);
      status = rows[0]?.status ?? 'gone';
    });
    return status;
  }

  async becomes(device: RegisteredDevice, status: string): Promise<void> {
    expect(await eventually(async () => (await this.statusOf('devices', device.id)) === status)).toBe(true);
  }

  /** A suspension is ordered without waiting: one that somebody else earns afterwards shows that none is still on its way. */
  async staysActive(...devices: RegisteredDevice[]): Promise<void> {
    const [thief, mark] = [await this.device(), await this.device()];
    const { access_token: token } = (await this.app.call<{ access_token: string }>('POST', `/devices/${thief.id}/token`, {})).body;
    await this.connect({ clientid: mark.id, username: mark.id, password: token }, THRESHOLD);
    await this.becomes(thief, 'SUSPENDED');
    for (const { id } of devices) expect(await this.statusOf('devices', id)).toBe('ACTIVE');
  }

  async auditRows(deviceId: string, type: string): Promise<{ actor_kind: string; details: Record<string, unknown> }[]> {
    await this.app.app.get(AuditStream).flush();
    let found: { actor_kind: string; details: Record<string, unknown> }[] = [];
    await administer(this.app.database.url, async (client) => {
      found = (await client.query(`SELECT actor_kind, details FROM security_audit_logs WHERE device_id = $1 AND event_type = $2`, [deviceId, type])).rows as typeof found;
    });
    return found;
  }
}

const own = (device: RegisteredDevice): Question => ({ clientid: device.id, username: device.id });
const wrongSecret = (): string => `pcs_${randomBytes(32).toString('base64url').slice(0, 42)}A`;

describe('failures that prove possession', () => {
  let scene: Scene;

  beforeAll(async () => {
    scene = await Scene.open();
  });

  afterAll(() => scene.app.stop());

  it.each<[string, (thief: RegisteredDevice, mark: RegisteredDevice) => Question]>([
    ['under another client id and username', (thief, mark) => ({ ...own(mark), password: thief.access_token })],
    ['under another client id without a username', (thief, mark) => ({ clientid: mark.id, username: '', password: thief.access_token })],
    ['under another username', (thief, mark) => ({ clientid: thief.id, username: mark.id, password: thief.access_token })],
    ['under another client id with the own username', (thief, mark) => ({ clientid: mark.id, username: thief.id, password: thief.access_token })],
    ['for an id that does not exist', (thief) => {
      const nobody = '00000000-0000-4000-8000-000000000001';
      return { clientid: nobody, username: nobody, password: thief.access_token };
    }],
  ])('ten with a good token %s suspend the device that the token names and nobody else; nine do not', async (_, question) => {
    const [thief, mark] = [await scene.device(), await scene.device()];
    expect(await scene.connect(question(thief, mark), THRESHOLD - 1)).toEqual(Array(THRESHOLD - 1).fill('deny'));
    await scene.staysActive(thief, mark);
    // A right proof is never refused before that, whatever came before it.
    expect(await scene.connect({ ...own(thief), password: thief.access_token })).toEqual(['allow']);
    expect(await scene.connect(question(thief, mark))).toEqual(['deny']);
    await scene.becomes(thief, 'SUSPENDED');
    expect(await scene.statusOf('devices', mark.id)).toBe('ACTIVE');
    expect(await scene.connect({ ...own(mark), password: mark.client_secret })).toEqual(['allow']);
    expect(await scene.connect({ ...own(thief), password: thief.client_secret })).toEqual(['deny']);
    expect(await scene.auditRows(thief.id, 'DEVICE_SUSPENDED')).toMatchObject([{ actor_kind: 'system', details: { from: 'ACTIVE', to: 'SUSPENDED' } }]);
  });

  it('a reactivation begins the count anew', async () => {
    const [thief, mark] = [await scene.device(), await scene.device()];
    const stolen = { ...own(mark), password: thief.access_token };
    await scene.connect(stolen, THRESHOLD);
    await scene.becomes(thief, 'SUSPENDED');
    expect((await scene.app.call('POST', `/devices/${thief.id}/activate`, { reason: 'looked after' })).status).toBe(200);
    expect(await scene.connect({ ...own(thief), password: thief.client_secret })).toEqual(['allow']);
    await scene.connect(stolen, THRESHOLD - 1);
    await scene.staysActive(thief);
    await scene.connect(stolen);
    await scene.becomes(thief, 'SUSPENDED');
  });

  it('ten of them spread over more than five minutes suspend nobody', async () => {
    const [thief, mark] = [await scene.device(), await scene.device()];
    const { app } = scene;
    const { access_token: token } = (await app.call<{ access_token: string }>('POST', `/devices/${thief.id}/token`, { ttl: 86_400 })).body;
    await scene.connect({ ...own(mark), password: token }, THRESHOLD - 1);
    scene.clock.advance(300_001);
    await scene.connect({ ...own(mark), password: token }, THRESHOLD - 1);
    await scene.staysActive(thief, mark);
  });

  it('a hundred wrong secrets, malformed tokens and other people’s secrets suspend nobody', async () => {
    const [mark, other] = [await scene.device(), await scene.device()];
    const forged = mark.access_token.slice(0, -6) + 'AAAAAA';
    for (const password of [wrongSecret(), other.client_secret, forged, 'a.b.c']) await scene.connect({ ...own(mark), password }, 25);
    await scene.staysActive(mark, other);
    expect(await scene.connect({ ...own(mark), password: mark.client_secret, listener_kind: 'plain' })).toEqual(['allow']);
  });

  it('a service account is never suspended', async () => {
    const { body } = await scene.app.call<{ id: string; client_secret: string }>('POST', '/service-accounts', { name: 'collector' });
    const [thief] = [await scene.device()];
    const name = `svc:${body.id}`;
    await scene.connect({ clientid: name, username: name, password: wrongSecret() }, 25);
    await scene.connect({ clientid: name, username: name, password: thief.access_token }, THRESHOLD);
    await scene.becomes(thief, 'SUSPENDED');
    expect(await scene.statusOf('service_accounts', body.id)).toBe('ACTIVE');
    expect(await scene.connect({ clientid: name, username: name, password: body.client_secret })).toEqual(['allow']);
  });
});

describe('ended proofs of one’s own', () => {
  it('never count, neither under the own name nor under another', async () => {
    const scene = await Scene.open();
    const [forgetful, mark] = [await scene.device(), await scene.device()];
    const { body: rotated } = await scene.app.call<{ client_secret: string }>('POST', `/devices/${forgetful.id}/rotate-client-secret`, {});
    expect(rotated.client_secret).toMatch(/^pcs_/);
    // Past the overlap of the rotation and the end of the token.
    scene.clock.advance(2 * 3_600_000);
    for (const password of [forgetful.client_secret, forgetful.access_token]) {
      expect(new Set(await scene.connect({ ...own(forgetful), password }, 2 * THRESHOLD))).toEqual(new Set(['deny']));
      await scene.connect({ ...own(mark), password }, 2 * THRESHOLD);
    }
    expect(await scene.connect({ ...own(forgetful), password: rotated.client_secret })).toEqual(['allow']);
    // Somebody else's possession is noticed meanwhile: nothing is still on its way.
    await scene.app.app.get(AuditStream).flush();
    expect(await eventually(async () => (await scene.statusOf('devices', forgetful.id)) !== 'ACTIVE', 1_000)).toBe(false);
    expect(await scene.statusOf('devices', mark.id)).toBe('ACTIVE');
    await scene.app.stop();
  });

  it('a revoked token proves nobody’s possession', async () => {
    const scene = await Scene.open();
    const [robbed, mark] = [await scene.device(), await scene.device()];
    const jti = (JSON.parse(Buffer.from(robbed.access_token.split('.')[1] ?? '', 'base64url').toString()) as { jti: string }).jti;
    expect(await scene.connect({ ...own(robbed), password: robbed.access_token })).toEqual(['allow']);
    const { status } = await scene.app.call('DELETE', `/devices/${robbed.id}/credentials/${jti}`);
    expect(status).toBeLessThan(300);
    await scene.connect({ ...own(robbed), password: robbed.access_token });
    await scene.connect({ ...own(mark), password: robbed.access_token }, 2 * THRESHOLD);
    await scene.staysActive(robbed, mark);
    await scene.app.stop();
  });
});

describe('AUTH_FAILURE_POLICY=strict', () => {
  it('counts everything against the device that is claimed; the tenth suspends it', async () => {
    const scene = await Scene.open({ AUTH_FAILURE_POLICY: 'strict' });
    const [mark, thief] = [await scene.device(), await scene.device()];
    await scene.connect({ ...own(mark), password: wrongSecret() }, THRESHOLD - 1);
    expect(await scene.connect({ ...own(mark), password: mark.client_secret })).toEqual(['allow']);
    expect(await scene.statusOf('devices', mark.id)).toBe('ACTIVE');
    await scene.connect({ ...own(mark), password: thief.access_token });
    await scene.becomes(mark, 'SUSPENDED');
    expect(await scene.statusOf('devices', thief.id)).toBe('ACTIVE');
    expect(await scene.connect({ ...own(mark), password: mark.client_secret })).toEqual(['deny']);
    await scene.app.stop();
  });

  it('does not count what is refused because a store of ours cannot be asked: an outage suspends nobody', async () => {
    const scene = await Scene.open({ AUTH_FAILURE_POLICY: 'strict' });
    const [unknown, known, guilty] = [await scene.device(), await scene.device(), await scene.device()];
    const topic = { ...own(known), action: 'publish', topic: `devices/${known.id}/telemetry`, qos: '1', retain: 'false' };
    expect((await scene.app.ask('mqtt-acl', topic)).body.result).toBe('allow');
    const gone = jest.spyOn(scene.app.app.get(Pools).gate, 'query').mockRejectedValue(new Error('Connection terminated') as never);
    // Of the one no facts are to be had, of the other no credentials.
    expect(new Set(await scene.connect({ ...own(unknown), password: unknown.client_secret }, 2 * THRESHOLD))).toEqual(new Set(['deny']));
    expect(new Set(await scene.connect({ ...own(known), password: known.client_secret }, 2 * THRESHOLD))).toEqual(new Set(['deny']));
    gone.mockRestore();
    // For half a second after a failure credentials are not asked for.
    scene.clock.advance(1_000);
    // Suspensions are ordered without waiting: one that is earned afterwards shows that none is still on its way.
    await scene.connect({ ...own(guilty), password: wrongSecret() }, THRESHOLD);
    await scene.becomes(guilty, 'SUSPENDED');
    for (const device of [unknown, known]) {
      expect(await scene.statusOf('devices', device.id)).toBe('ACTIVE');
      expect(await scene.connect({ ...own(device), password: device.client_secret })).toEqual(['allow']);
    }
    await scene.app.stop();
  });
});
