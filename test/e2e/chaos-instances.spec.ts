import { RedisStore } from '../../src/platform/redis/redis-store.js';
import { TestApp, type RegisteredDevice } from '../factories/app.js';
import { cloneDatabase, type TestDatabase } from '../factories/database.js';
import { until } from '../factories/until.js';
import { FlakyProxy } from '../fakes/flaky-proxy.js';
import { PrivateRedis } from '../fakes/private-redis.js';

const HAS_REDIS = (process.env['TEST_REDIS_URL'] ?? '') !== '';
/** A change that was acknowledged holds everywhere after this. */
const EVERYWHERE_MS = 1_000;

(HAS_REDIS ? describe : describe.skip)('two instances on one Postgres and one Redis', () => {
  let database: TestDatabase;
  let redis: PrivateRedis;
  let redisOfB: FlakyProxy;
  let postgresOfB: FlakyProxy;
  let a: TestApp;
  let b: TestApp;
  const stores: RedisStore[] = [];
  let count = 0;

  beforeAll(async () => {
    database = await cloneDatabase();
    redis = await PrivateRedis.start();
    redisOfB = await FlakyProxy.before(redis.url);
    postgresOfB = await FlakyProxy.before(database.url);
    stores.push(new RedisStore({ url: redis.url }), new RedisStore({ url: redisOfB.route(redis.url) }));
    a = await TestApp.start({ database, store: stores[0] as RedisStore });
    const config = { ...a.config, database: { ...a.config.database, url: postgresOfB.route(database.url) } };
    b = await TestApp.start({ database, config, store: stores[1] as RedisStore });
  });

  afterEach(async () => {
    postgresOfB.heal();
    redisOfB.heal();
    await until('both hear each other', () => stores.every((store) => store.available && store.subscribed));
  });

  afterAll(async () => {
    await b.stop();
    await a.stop();
    await Promise.all([redisOfB.close(), postgresOfB.close()]);
    await redis.kill();
    await database.drop();
  });

  const connect = async (app: TestApp, device: RegisteredDevice, password = device.client_secret): Promise<string> =>
    (await app.ask('mqtt-auth', { clientid: device.id, username: device.id, password, listener_kind: 'plain' })).body.result;

  const publish = async (app: TestApp, device: RegisteredDevice, topic: string): Promise<string> =>
    (await app.ask('mqtt-acl', { clientid: device.id, username: device.id, action: 'publish', topic, qos: '1', retain: 'false' })).body.result;

  /** Registered at A, and at hand in the memory of both. */
  const warmDevice = async (): Promise<RegisteredDevice> => {
    const device = await a.registerDevice(`twin-${(count += 1)}`);
    for (const app of [a, b, a, b]) expect(await connect(app, device)).toBe('allow');
    return device;
  };

  const deniedEverywhere = async (what: string, ask: (app: TestApp) => Promise<string>): Promise<void> => {
    await Promise.all([a, b].map((app) => until(what, async () => (await ask(app)) === 'deny', EVERYWHERE_MS)));
    // And it stays so, whichever cache answers.
    for (const app of [a, b, b, a]) expect(await ask(app)).toBe('deny');
  };

  const change = async (app: TestApp, method: string, path: string, body?: object): Promise<void> => {
    const { status } = await app.call(method, path, body);
    expect({ path, good: status < 300 }).toEqual({ path, good: true });
  };

  describe('hold on both, with both caches warm,', () => {
    it('a suspension', async () => {
      const device = await warmDevice();
      await change(a, 'POST', `/devices/${device.id}/suspend`, { reason: 'test' });
      await deniedEverywhere('the suspension', (app) => connect(app, device));
      await deniedEverywhere('the suspension', (app) => publish(app, device, `devices/${device.id}/telemetry`));
      await change(b, 'POST', `/devices/${device.id}/activate`, { reason: 'test' });
      for (const app of [a, b]) await until('the reactivation', async () => (await connect(app, device)) === 'allow', EVERYWHERE_MS);
    });

    it('a revoked credential', async () => {
      const device = await warmDevice();
      for (const app of [a, b]) expect(await connect(app, device, device.access_token)).toBe('allow');
      const { body } = await a.call<{ items: { id: string; kind: string }[] }>('GET', `/devices/${device.id}/credentials`);
      for (const { id } of body.items) await change(b, 'DELETE', `/devices/${device.id}/credentials/${id}?reason=leaked`);
      await deniedEverywhere('the revocation', (app) => connect(app, device));
      await deniedEverywhere('the revocation', (app) => connect(app, device, device.access_token));
    });

    it('a rule that was taken away', async () => {
      const device = await warmDevice();
      const topic = `devices/${device.id}/raw`;
      const { body: rule } = await a.call<{ id: string }>('POST', `/devices/${device.id}/rules`, { action: 'publish', topic });
      for (const app of [a, b]) await until('the rule', async () => (await publish(app, device, topic)) === 'allow', EVERYWHERE_MS);
      await change(b, 'DELETE', `/devices/${device.id}/rules/${rule.id}`);
      await deniedEverywhere('the end of the rule', (app) => publish(app, device, topic));
    });

    it('a person that was demoted, and one that was disabled', async () => {
      const person = { email: `operator-${(count += 1)}@example.test`, password: 'a good long password', name: 'O', role: 'ADMIN' };
      const { body: user } = await a.call<{ id: string }>('POST', '/auth/register', person);
      const headers = await b.loginAs(person.email, person.password);
      const attempt = async (app: TestApp): Promise<number> =>
        (await app.call('POST', '/devices', { slug: `by-person-${(count += 1)}` }, headers)).status;
      for (const app of [a, b]) expect(await attempt(app)).toBe(201);
      await change(a, 'PATCH', `/users/${user.id}`, { role: 'VIEWER' });
      for (const app of [b, a]) expect(await attempt(app)).toBe(403);
      await change(b, 'POST', `/users/${user.id}/disable`);
      for (const app of [a, b]) expect(await attempt(app)).toBe(401);
    });
  });

  describe('with the subscription of one gone', () => {
    it('it answers from no memory: the change holds on the very next question', async () => {
      const devices = [await warmDevice(), await warmDevice()] as const;
      redisOfB.refuseNew();
      await redis.cutSubscriptions();
      await until('B is deaf', () => stores[1]?.subscribed === false);
      await until('A hears again', () => stores[0]?.subscribed === true);
      expect(stores[1]?.available).toBe(true);
      for (const device of devices) {
        await change(a, 'POST', `/devices/${device.id}/suspend`, { reason: 'test' });
        expect(await connect(b, device)).toBe('deny');
        expect(await connect(a, device)).toBe('deny');
      }
    });

    it('and all of Redis with it, too', async () => {
      const device = await warmDevice();
      redisOfB.cut();
      await until('B has no Redis', () => stores[1]?.subscribed === false && !stores[1].available);
      expect(await connect(b, device)).toBe('allow');
      await change(a, 'POST', `/devices/${device.id}/suspend`, { reason: 'test' });
      expect(await connect(b, device)).toBe('deny');
      redisOfB.heal();
      await until('B hears again', () => stores[1]?.subscribed === true && stores[1].available);
      await deniedEverywhere('the suspension', (app) => connect(app, device));
      await change(a, 'POST', `/devices/${device.id}/activate`, { reason: 'test' });
      await until('the reactivation', async () => (await connect(b, device)) === 'allow', EVERYWHERE_MS);
    });

    describe('a change that is made by the one without Redis holds on the other, though Redis has the old state:', () => {
      const alone = async (): Promise<void> => {
        redisOfB.cut();
        await until('B has no Redis', () => stores[1]?.subscribed === false && !stores[1].available);
      };

      it('a suspension, and after it an activation', async () => {
        const device = await warmDevice();
        await alone();
        await change(b, 'POST', `/devices/${device.id}/suspend`, { reason: 'test' });
        await deniedEverywhere('the suspension', (app) => connect(app, device));
        await deniedEverywhere('the suspension', (app) => publish(app, device, `devices/${device.id}/telemetry`));
        await change(b, 'POST', `/devices/${device.id}/activate`, { reason: 'test' });
        await until('the reactivation', async () => (await connect(a, device)) === 'allow', EVERYWHERE_MS);
      });

      it('a revoked credential', async () => {
        const device = await warmDevice();
        const { body } = await a.call<{ items: { id: string }[] }>('GET', `/devices/${device.id}/credentials`);
        await alone();
        for (const { id } of body.items) await change(b, 'DELETE', `/devices/${device.id}/credentials/${id}?reason=leaked`);
        await deniedEverywhere('the revocation', (app) => connect(app, device));
        await deniedEverywhere('the revocation', (app) => connect(app, device, device.access_token));
      });

      it('a rule that was taken away', async () => {
        const device = await warmDevice();
        const topic = `devices/${device.id}/raw`;
        const { body: rule } = await a.call<{ id: string }>('POST', `/devices/${device.id}/rules`, { action: 'publish', topic });
        for (const app of [a, b]) await until('the rule', async () => (await publish(app, device, topic)) === 'allow', EVERYWHERE_MS);
        await alone();
        await change(b, 'DELETE', `/devices/${device.id}/rules/${rule.id}`);
        await deniedEverywhere('the end of the rule', (app) => publish(app, device, topic));
      });

      it('a person that was demoted, and one that was disabled', async () => {
        const person = { email: `operator-${(count += 1)}@example.test`, password: 'a good long password', name: 'O', role: 'ADMIN' };
        const { body: user } = await a.call<{ id: string }>('POST', '/auth/register', person);
        const headers = await a.loginAs(person.email, person.password);
        const attempt = async (): Promise<number> =>
          (await a.call('POST', '/devices', { slug: `by-person-${(count += 1)}` }, headers)).status;
        expect(await attempt()).toBe(201);
        await alone();
        await change(b, 'PATCH', `/users/${user.id}`, { role: 'VIEWER' });
        expect(await attempt()).toBe(403);
        await change(b, 'POST', `/users/${user.id}/disable`);
        expect(await attempt()).toBe(401);
      });

      it('and it still holds when Redis is back', async () => {
        const device = await warmDevice();
        await alone();
        await change(b, 'POST', `/devices/${device.id}/suspend`, { reason: 'test' });
        redisOfB.heal();
        await until('B hears again', () => stores[1]?.subscribed === true && stores[1].available);
        await deniedEverywhere('the suspension', (app) => connect(app, device));
      });
    });
  });

  it('with Redis full, a suspension still holds on both', async () => {
    const device = await warmDevice();
    await redis.fill();
    try {
      await change(a, 'POST', `/devices/${device.id}/suspend`, { reason: 'test' });
      await deniedEverywhere('the suspension', (app) => connect(app, device));
    } finally {
      await redis.empty();
    }
  });

  describe('a reader that races a change', () => {
    /** B's question stands at Postgres' answer, made before the change, until the change is through. */
    const race = async (device: RegisteredDevice, between: () => Promise<void>): Promise<string> => {
      postgresOfB.hold();
      const asked = connect(b, device);
      await until("Postgres' answer to B", () => postgresOfB.holding > 0);
      await between();
      postgresOfB.release();
      return asked;
    };

    const suspend = (device: RegisteredDevice): Promise<void> =>
      change(a, 'POST', `/devices/${device.id}/suspend`, { reason: 'test' });

    /** Resolves once B has been told of a change of this device. */
    const toldToB = async (device: RegisteredDevice, work: () => Promise<void>): Promise<void> => {
      let told = false;
      await stores[1]?.subscribe('portcullis:facts', (message) => (told ||= message.includes(device.id)));
      await work();
      await until('B was told', () => told);
    };

    it('does not answer by the old state, nor leave it in any cache', async () => {
      const device = await a.registerDevice(`raced-${(count += 1)}`);
      expect(await race(device, () => toldToB(device, () => suspend(device)))).toBe('deny');
      await deniedEverywhere('the suspension', (app) => connect(app, device));
    });

    it('leaves the old state in no cache even if it was deaf meanwhile', async () => {
      const device = await a.registerDevice(`raced-${(count += 1)}`);
      await race(device, async () => {
        redisOfB.cut();
        await until('B is deaf', () => stores[1]?.subscribed === false);
        await suspend(device);
        redisOfB.heal();
        await until('B hears again', () => stores[1]?.subscribed === true && stores[1].available);
      });
      await deniedEverywhere('the suspension', (app) => connect(app, device));
    });

    it('over credentials does not bring back what was revoked', async () => {
      const device = await a.registerDevice(`raced-${(count += 1)}`);
      // Facts at hand, credentials not: the question about a topic needs none.
      expect(await publish(b, device, `devices/${device.id}/telemetry`)).toBe('allow');
      const { body } = await a.call<{ items: { id: string; kind: string }[] }>('GET', `/devices/${device.id}/credentials`);
      const secret = body.items.find(({ kind }) => kind === 'secret');
      await race(device, () => change(a, 'DELETE', `/devices/${device.id}/credentials/${secret?.id}?reason=leaked`));
      await deniedEverywhere('the revocation', (app) => connect(app, device));
    });
  });
});
