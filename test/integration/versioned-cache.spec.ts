import { randomBytes, randomUUID } from 'node:crypto';
import { SystemClock } from '../../src/platform/clock/clock.js';
import { RedisStore } from '../../src/platform/redis/redis-store.js';
import { type CacheEvent, VersionedCache } from '../../src/platform/redis/versioned-cache.js';
import { FlakyProxy } from '../fakes/flaky-proxy.js';

const REDIS_URL = process.env.TEST_REDIS_URL ?? '';

interface Facts {
  readonly status: string;
}

it('runs over a real Redis wherever the build is judged', () => {
  if (process.env.CI === 'true') expect(REDIS_URL).toBeTruthy();
});

(REDIS_URL ? describe : describe.skip)('two processes with a cache each over one Redis', () => {
  const macKey = randomBytes(32);
  const clock = new SystemClock();
  let row: { version: number; value: Facts };
  let loads: number;
  let barrier: Promise<void> | undefined;
  let proxy: FlakyProxy;
  let stores: RedisStore[];
  let here: VersionedCache<Facts>;
  let there: VersionedCache<Facts>;
  let counted: CacheEvent[];
  let id: string;

  beforeEach(async () => {
    id = randomUUID();
    row = { version: 1, value: { status: 'ACTIVE' } };
    loads = 0;
    barrier = undefined;
    counted = [];
    proxy = await FlakyProxy.before(REDIS_URL);
    const prefix = `test:${randomUUID()}:`;
    stores = [REDIS_URL, proxy.route(REDIS_URL)].map(
      (url) => new RedisStore({ url, prefix, commandTimeoutMs: 200, heartbeatMs: 100 }),
    );
    await Promise.all(stores.map((store) => store.connect()));
    [here, there] = (await Promise.all(stores.map(cacheOver))) as [VersionedCache<Facts>, VersionedCache<Facts>];
    await until('both hear', () => stores.every((store) => store.subscribed));
  });

  afterEach(async () => {
    await Promise.all(stores.map((store) => store.close()));
    await proxy.close();
  });

  async function cacheOver(store: RedisStore): Promise<VersionedCache<Facts>> {
    const cache = new VersionedCache<Facts>({
      store, clock, name: 'facts.v1', macKey, channel: 'facts', staleMs: 60_000,
      decode: (text) => JSON.parse(text) as Facts,
      load: async () => {
        loads += 1;
        const read = row;
        await barrier;
        return read;
      },
      onCount: (event) => counted.push(event),
    });
    await cache.start();
    return cache;
  }

  async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
    const deadline = Date.now() + 15_000;
    while (!(await holds())) {
      if (Date.now() > deadline) throw new Error(`never came true: ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  const suspend = (): void => {
    row = { version: row.version + 1, value: { status: 'SUSPENDED' } };
  };

  it('what one has read the other finds in Redis', async () => {
    await here.get(id);
    await until('it was written back', async () => {
      counted.length = 0;
      await there.get(id);
      return counted.includes('store') || counted.includes('memory');
    });
    expect(loads).toBeLessThanOrEqual(2);
  });

  it('a suspension ordered here is seen there', async () => {
    await Promise.all([here.get(id), there.get(id)]);
    expect(there.peek(id)).toEqual({ status: 'ACTIVE' });
    suspend();
    expect(await here.invalidate(id, row.version)).toBe(true);
    await until('the other has dropped it', () => there.peek(id) === undefined);
    expect((await there.get(id)).value).toEqual({ status: 'SUSPENDED' });
    expect((await here.get(id)).value).toEqual({ status: 'SUSPENDED' });
  });

  it('a reader that races an invalidation never brings the old state back', async () => {
    let heard = 0;
    await stores[1]!.subscribe('facts', () => (heard += 1));
    for (let round = 0; round < 20; round += 1) {
      row = { version: row.version + 1, value: { status: 'ACTIVE' } };
      await here.invalidate(id, row.version);
      await until('the other is cold', () => heard === 2 * round + 1);
      let open: () => void = () => undefined;
      barrier = new Promise((resolve) => (open = resolve));
      const before = loads;
      const racing = there.get(id);
      await until('the reader has read the old state', () => loads > before);
      suspend();
      await here.invalidate(id, row.version);
      // By turns the message comes before the reader's answer, or somewhere about it.
      const first = round % 2 === 0;
      if (first) await until('the other was told', () => heard === 2 * round + 2);
      barrier = undefined;
      open();
      const answer = await racing;
      if (first) expect(answer.value).toEqual({ status: 'SUSPENDED' });
      await until('the other was told', () => heard === 2 * round + 2);
      for (let again = 0; again < 5; again += 1) {
        expect((await there.get(id)).value).toEqual({ status: 'SUSPENDED' });
        expect((await here.get(id)).value).toEqual({ status: 'SUSPENDED' });
      }
    }
  });

  it('a suspension told while the other was cut off is seen by it as soon as it asks', async () => {
    await Promise.all([here.get(id), there.get(id)]);
    proxy.cut();
    await until('the cut is noticed', () => !stores[1]!.subscribed && !stores[1]!.available);
    suspend();
    await here.invalidate(id, row.version);
    expect((await there.get(id)).value).toEqual({ status: 'SUSPENDED' });
    row = { version: row.version + 1, value: { status: 'ACTIVE' } };
    await here.invalidate(id, row.version);
    proxy.heal();
    await until('it hears again', () => stores[1]!.subscribed);
    expect((await there.get(id)).value).toEqual({ status: 'ACTIVE' });
  });

  it('a suspension ordered by one that is cut off reaches the other when it is back', async () => {
    await Promise.all([here.get(id), there.get(id)]);
    proxy.cut();
    await until('the cut is noticed', () => !stores[1]!.subscribed && !stores[1]!.available);
    suspend();
    expect(await there.invalidate(id, row.version)).toBe(false);
    expect((await there.get(id)).value).toEqual({ status: 'SUSPENDED' });
    proxy.heal();
    await until('it was delivered', () => here.peek(id) === undefined);
    expect((await here.get(id)).value).toEqual({ status: 'SUSPENDED' });
  });
});
