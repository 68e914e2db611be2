import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { StoreUnavailableError } from '../../src/platform/redis/key-value.js';
import { RedisStore, type RedisStoreEvent } from '../../src/platform/redis/redis-store.js';
import { FlakyProxy } from '../fakes/flaky-proxy.js';

const REDIS_URL = process.env.TEST_REDIS_URL ?? '';

/** Waits for a state that must come, without guessing how long it takes. */
async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 15_000;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`never came true: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

it('runs over a real Redis wherever the build is judged', () => {
  if (process.env.CI === 'true') expect(REDIS_URL).not.toBe('');
});

(REDIS_URL ? describe : describe.skip)('RedisStore when Redis fails', () => {
  let proxy: FlakyProxy;
  let store: RedisStore;
  let events: RedisStoreEvent[];
  let changes: boolean[];
  const prefix = `test:${randomUUID()}:`;

  beforeEach(async () => {
    proxy = await FlakyProxy.before(REDIS_URL);
    events = [];
    changes = [];
    store = new RedisStore({
      url: proxy.route(REDIS_URL), prefix, commandTimeoutMs: 150, heartbeatMs: 100, onEvent: (event) => events.push(event),
    });
    store.onSubscription((up) => changes.push(up));
  });

  afterEach(async () => {
    await store.close();
    await proxy.close();
  });

  const up = (connection: string): boolean[] => events.filter((event) => event.connection === connection).map((event) => event.up);

  it('times to live are kept by Redis for every family', async () => {
    await store.connect();
    await store.setIfAbsent('ttl', 'x', 300);
    await store.writeIfNewer('ttl', 9, null, 300);
    await store.lease('ttl', 'a', 300);
    await store.spend('ttl', { intervalMs: 100, burst: 3 }, 3);
    await store.countInWindow('ttl', 300);
    const raw = new Redis(REDIS_URL);
    const keys = await raw.keys(`${prefix}*:ttl`);
    const lives = await Promise.all(keys.map((key) => raw.pttl(key)));
    await raw.quit();
    expect(keys).toHaveLength(5);
    for (const life of lives) expect(life).toBeLessThanOrEqual(300);
    for (const life of lives) expect(life).not.toBe(-1);
    await until('the value died', async () => (await store.get('ttl')) === null);
    await until('the tombstone died', () => store.writeIfNewer('ttl', 1, 'x', 300));
    await until('the lease ran out', () => store.lease('ttl', 'b', 300));
  });

  it('a Redis that is not there fails every operation with our error, at once, and stops nothing', async () => {
    proxy.cut();
    expect(await store.connect()).toBe(false);
    expect([store.available, store.subscribed, await store.ping()]).toEqual([false, false, false]);
    const heard: string[] = [];
    await store.subscribe('news', (message) => heard.push(message));
    await expect(store.get('k')).rejects.toThrow(StoreUnavailableError);
    await expect(store.setIfAbsent('k', 'v', 1_000)).rejects.toThrow(StoreUnavailableError);
    await expect(store.spend('k', { intervalMs: 1_000, burst: 1 })).rejects.toThrow(StoreUnavailableError);
    expect((await store.checkEviction()).policy).toBe('unreachable');

    proxy.heal();
    await until('both connections are there', () => store.available && store.subscribed);
    await store.publish('news', 'what was asked for while it was down is heard');
    await until('the message came', () => heard.length === 1);
  });

  it('comes back by itself with its subscriptions, and tells of the gap once', async () => {
    await store.connect();
    const heard: string[] = [];
    await store.subscribe('news', (message) => heard.push(message));
    await until('up', () => store.available && store.subscribed);
    const other = new RedisStore({ url: REDIS_URL, prefix });
    await other.connect();
    try {
      proxy.cut();
      await until('down', () => !store.available && !store.subscribed);
      await other.publish('news', 'lost');
      proxy.heal();
      await until('up again', () => store.available && store.subscribed);
      await other.publish('news', 'heard');
      await until('the message came', () => heard.length > 0);
      expect(heard).toEqual(['heard']);
      expect(changes).toEqual([true, false, true]);
      expect(up('commands')).toEqual([true, false, true]);
      expect(up('subscription')).toEqual([true, false, true]);
      expect(await store.setIfAbsent(randomUUID(), 'x', 1_000)).toBe(true);
    } finally {
      await other.close();
    }
  });

  it('a Redis that hangs is noticed on both connections, costs nothing from then on, and is taken up again', async () => {
    await store.connect();
    await store.subscribe('news', () => undefined);
    await until('up', () => store.available && store.subscribed);
    proxy.freeze();
    await Promise.allSettled([1, 2, 3].map((i) => store.get(`k${i}`)));
    expect(store.available).toBe(false);
    await expect(store.get('k')).rejects.toThrow('stopped to answer');
    await until('deafness is noticed', () => !store.subscribed);
    proxy.heal();
    await until('up again', () => store.available && store.subscribed);
    expect(await store.get('k')).toBeNull();
    expect(up('commands')).toEqual([true, false, true]);
  });

  it('is down while it hangs even if nobody asks it anything', async () => {
    await store.connect();
    await until('up', () => store.available && store.subscribed);
    proxy.freeze();
    await until('down', () => !store.available && !store.subscribed);
  });

  it('errors bear neither keys nor values', async () => {
    await store.connect();
    const raw = new Redis(REDIS_URL);
    await raw.lpush(`${prefix}s:secret-key`, 'x');
    await raw.quit();
    const error: unknown = await store.get('secret-key').catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(StoreUnavailableError);
    expect(JSON.stringify([error, String(error), Object.entries(error as object)])).not.toContain('secret-key');
  });

  it('a closed store stays closed and tells of no loss', async () => {
    await store.connect();
    await until('up', () => store.available);
    events.length = 0;
    await store.close();
    await expect(store.get('k')).rejects.toThrow(StoreUnavailableError);
    expect(events).toEqual([]);
  });

  it('the scripts are sent again when Redis has forgotten them', async () => {
    await store.connect();
    await store.lease('job', 'a', 1_000);
    const raw = new Redis(REDIS_URL);
    await raw.script('FLUSH');
    await raw.quit();
    expect(await store.lease('job', 'b', 1_000)).toBe(false);
  });
});

(REDIS_URL ? describe : describe.skip)('the check of the eviction policy', () => {
  let admin: Redis;
  const user = `u${randomUUID()}`;

  beforeAll(() => {
    admin = new Redis(REDIS_URL);
  });

  afterAll(async () => {
    await admin.acl('DELUSER', user);
    await admin.quit();
  });

  async function reportAs(url: string): Promise<{ policy: string; problem: string | null }> {
    const store = new RedisStore({ url });
    await store.connect();
    try {
      return await store.checkEviction();
    } finally {
      await store.close();
    }
  }

  function urlOf(name: string): string {
    const url = new URL(REDIS_URL);
    url.username = name;
    url.password = 'pass';
    return url.href;
  }

  it('is content with noeviction', async () => {
    expect(await reportAs(REDIS_URL)).toEqual({ policy: 'noeviction', problem: null });
  });

  it('asks INFO where CONFIG is forbidden, and says "unknown" where both are', async () => {
    await admin.acl('SETUSER', user, 'on', '>pass', '~*', '&*', '+@all', '-config');
    expect((await reportAs(urlOf(user))).policy).toBe('noeviction');
    await admin.acl('SETUSER', user, '-info');
    const warned = jest.spyOn(console, 'warn').mockImplementation(() => undefined);
    const report = await reportAs(urlOf(user));
    warned.mockRestore();
    expect(report.policy).toBe('unknown');
    expect(report.problem).toMatch(/noeviction/);
  });

  it('waits for the first attempt to connect, which begins by itself', async () => {
    const store = new RedisStore({ url: REDIS_URL });
    try {
      expect((await store.checkEviction()).problem).toBeNull();
      await until('it hears', () => store.subscribed);
    } finally {
      await store.close();
    }
  });

  it('names any other policy as a problem', async () => {
    await admin.config('SET', 'maxmemory-policy', 'allkeys-lru');
    try {
      const report = await reportAs(REDIS_URL);
      expect(report.policy).toBe('allkeys-lru');
      expect(report.problem).toMatch(/must be noeviction/);
    } finally {
      await admin.config('SET', 'maxmemory-policy', 'noeviction');
    }
  });
});
