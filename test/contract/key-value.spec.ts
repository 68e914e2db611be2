import { randomUUID } from 'node:crypto';
import { KeyValueStore, type Rate, WINDOW_CAP } from '../../src/platform/redis/key-value.js';
import { MemoryStore } from '../../src/platform/redis/memory-store.js';
import { RedisStore } from '../../src/platform/redis/redis-store.js';
import { FakeClock } from '../fakes/fake-clock.js';

const REDIS_URL = process.env.TEST_REDIS_URL;

/** Both forms with one fake clock; times to live in Redis run by its own clock and are tested apart. */
const FORMS: Record<string, (clock: FakeClock) => Promise<KeyValueStore>> = {
  memory: async (clock) => new MemoryStore({ clock }),
};
if (REDIS_URL) FORMS.redis = (clock) => connected(clock);

async function connected(clock?: FakeClock, prefix = `test:${randomUUID()}:`): Promise<RedisStore> {
  const store = new RedisStore({ url: REDIS_URL ?? '', prefix, clock });
  if (!(await store.connect())) throw new Error('the Redis of the tests does not answer');
  return store;
}

/** Numbers from a seed (mulberry32), so that a failure can be run again. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

it('runs over a real Redis wherever the build is judged', () => {
  if (process.env.CI === 'true') expect(REDIS_URL).toBeTruthy();
});

describe.each(Object.keys(FORMS))('key-value store on %s', (form) => {
  let clock: FakeClock;
  let store: KeyValueStore;

  beforeEach(async () => {
    clock = new FakeClock();
    store = await FORMS[form]!(clock);
  });

  afterEach(() => store.close());

  describe('versioned values', () => {
    it('answers what was written, and null for what never was', async () => {
      expect(await store.readVersioned('k')).toBeNull();
      expect(await store.writeIfNewer('k', 0, '', 60_000)).toBe(true);
      expect(await store.readVersioned('k')).toEqual({ version: 0, value: '' });
      const value = 'v:\n"ü\u0000🙂:t';
      expect(await store.writeIfNewer('k', Number.MAX_SAFE_INTEGER, value, 60_000)).toBe(true);
      expect(await store.readVersioned('k')).toEqual({ version: Number.MAX_SAFE_INTEGER, value });
    });

    it('never goes back to an older version', async () => {
      await store.writeIfNewer('k', 10, 'ten', 60_000);
      expect(await store.writeIfNewer('k', 9, 'nine', 60_000)).toBe(false);
      expect(await store.writeIfNewer('k', 9, null, 60_000)).toBe(false);
      expect(await store.readVersioned('k')).toEqual({ version: 10, value: 'ten' });
    });

    it('tells apart versions that only differ in the last of sixteen digits', async () => {
      const top = Number.MAX_SAFE_INTEGER;
      await store.writeIfNewer('k', top, 'top', 60_000);
      expect(await store.writeIfNewer('k', top - 1, 'below', 60_000)).toBe(false);
    });

    it('replaces a value of the same version', async () => {
      await store.writeIfNewer('k', 3, 'first', 60_000);
      expect(await store.writeIfNewer('k', 3, 'again', 60_000)).toBe(true);
      expect(await store.readVersioned('k')).toEqual({ version: 3, value: 'again' });
    });

    it('a tombstone refuses values of its own and of older versions and lets in a newer one', async () => {
      await store.writeIfNewer('k', 5, 'alive', 60_000);
      expect(await store.writeIfNewer('k', 5, null, 60_000)).toBe(true);
      expect(await store.readVersioned('k')).toEqual({ version: 5, value: null });
      expect(await store.writeIfNewer('k', 4, 'old', 60_000)).toBe(false);
      expect(await store.writeIfNewer('k', 5, 'same', 60_000)).toBe(false);
      expect(await store.writeIfNewer('k', 5, null, 60_000)).toBe(true);
      expect(await store.writeIfNewer('k', 6, 'new', 60_000)).toBe(true);
      expect(await store.readVersioned('k')).toEqual({ version: 6, value: 'new' });
    });

    it('ends with the highest version whatever the order of arrival, and versions read meanwhile never fall', async () => {
      const next = random(7);
      const writes = Array.from({ length: 200 }, () => Math.floor(next() * 50));
      const seen: number[] = [];
      await Promise.all(
        writes.map(async (version) => {
          await store.writeIfNewer('k', version, next() < 0.2 ? null : `v${version}`, 60_000);
          seen.push((await store.readVersioned('k'))?.version ?? -1);
        }),
      );
      expect((await store.readVersioned('k'))?.version).toBe(Math.max(...writes));
      expect(seen).toEqual([...seen].sort((a, b) => a - b));
    });

    it('refuses versions and times to live on which the two forms could differ', async () => {
      await expect(store.writeIfNewer('k', 1.5, 'x', 1_000)).rejects.toThrow(RangeError);
      await expect(store.writeIfNewer('k', -1, 'x', 1_000)).rejects.toThrow(RangeError);
      await expect(store.writeIfNewer('k', 1, 'x', 0)).rejects.toThrow(RangeError);
      await expect(store.setIfAbsent('k', 'x', 0.5)).rejects.toThrow(RangeError);
      await expect(store.lease('k', 'x', Number.NaN)).rejects.toThrow(RangeError);
    });
  });

  describe('plain values', () => {
    it('of a hundred at once exactly one sets the value, and it is the one that stays', async () => {
      const answers = await Promise.all(
        Array.from({ length: 100 }, (_, index) => store.setIfAbsent('nonce', String(index), 60_000)),
      );
      expect(answers.filter(Boolean)).toHaveLength(1);
      expect(await store.get('nonce')).toBe(String(answers.indexOf(true)));
    });

    it('a deleted value may be set again', async () => {
      await store.setIfAbsent('k', 'a', 60_000);
      await store.delete('k');
      expect(await store.get('k')).toBeNull();
      expect(await store.setIfAbsent('k', 'b', 60_000)).toBe(true);
    });
  });

  describe('claims', () => {
    it('of a hundred owners at once exactly one may begin, and the others see it under way', async () => {
      const answers = await Promise.all(Array.from({ length: 100 }, (_, owner) => store.claim('k', 'mark', `o${owner}`, 5_000, 60_000)));
      expect(answers.filter((answer) => answer === 'claimed')).toHaveLength(1);
      expect(answers.filter((answer) => answer === 'held')).toHaveLength(99);
    });

    it('what was settled is done for everyone, and under another mark the key is taken', async () => {
      expect(await store.claim('k', 'mark', 'a', 5_000, 60_000)).toBe('claimed');
      await store.settle('k', 'mark', 60_000);
      expect(await store.claim('k', 'mark', 'a', 5_000, 60_000)).toBe('done');
      expect(await store.claim('k', 'mark', 'b', 5_000, 60_000)).toBe('done');
      expect(await store.claim('k', 'another', 'b', 5_000, 60_000)).toBe('other');
    });

    it('goes to another owner when the lease is over, never to another mark', async () => {
      await store.claim('k', 'mark', 'a', 5_000, 60_000);
      clock.advance(4_999);
      expect(await store.claim('k', 'mark', 'b', 5_000, 60_000)).toBe('held');
      expect(await store.claim('k', 'another', 'b', 5_000, 60_000)).toBe('other');
      clock.advance(1);
      expect(await store.claim('k', 'another', 'b', 5_000, 60_000)).toBe('other');
      expect(await store.claim('k', 'mark', 'b', 5_000, 60_000)).toBe('claimed');
      expect(await store.claim('k', 'mark', 'a', 5_000, 60_000)).toBe('held');
    });

    it('is renewed by its own owner, and settled whoever held it', async () => {
      await store.claim('k', 'mark', 'a', 5_000, 60_000);
      clock.advance(4_000);
      expect(await store.claim('k', 'mark', 'a', 5_000, 60_000)).toBe('claimed');
      clock.advance(4_000);
      expect(await store.claim('k', 'mark', 'b', 5_000, 60_000)).toBe('held');
      await store.settle('k', 'another', 60_000);
      expect(await store.claim('k', 'mark', 'b', 5_000, 60_000)).toBe('held');
      await store.settle('unclaimed', 'mark', 60_000);
      expect(await store.claim('unclaimed', 'mark', 'b', 5_000, 60_000)).toBe('done');
    });
  });

  it('the same key in two families never meets', async () => {
    const rate = { intervalMs: 1_000, burst: 1 };
    await store.setIfAbsent('k', 'value', 60_000);
    await store.writeIfNewer('k', 1, 'versioned', 60_000);
    await store.lease('k', 'owner', 60_000);
    expect(await store.claim('k', 'mark', 'owner', 1_000, 60_000)).toBe('claimed');
    expect((await store.spend('k', rate)).allowed).toBe(true);
    expect(await store.countInWindow('k', 60_000)).toBe(1);
    await store.delete('k');
    await store.resetWindow('k');
    expect(await store.readVersioned('k')).toEqual({ version: 1, value: 'versioned' });
    expect(await store.lease('k', 'another', 60_000)).toBe(false);
    expect((await store.spend('k', rate)).allowed).toBe(false);
  });

  describe('rates', () => {
    const rate: Rate = { intervalMs: 6_000, burst: 10 };

    it('lets the burst through at once, then one an interval, and says how long to wait', async () => {
      for (let left = 9; left >= 0; left -= 1) {
        expect(await store.spend('k', rate)).toEqual({ allowed: true, retryAfterMs: 0, remaining: left });
      }
      expect(await store.spend('k', rate)).toEqual({ allowed: false, retryAfterMs: 6_000, remaining: 0 });
      clock.advance(5_999);
      expect(await store.spend('k', rate)).toEqual({ allowed: false, retryAfterMs: 1, remaining: 0 });
      clock.advance(1);
      expect(await store.spend('k', rate)).toEqual({ allowed: true, retryAfterMs: 0, remaining: 0 });
      clock.advance(60_000);
      expect((await store.peek('k', rate)).remaining).toBe(10);
    });

    it('of a hundred at once exactly the burst is allowed', async () => {
      const answers = await Promise.all(Array.from({ length: 100 }, () => store.spend('k', rate)));
      expect(answers.filter(({ allowed }) => allowed)).toHaveLength(10);
    });

    it('peeking spends nothing', async () => {
      for (let i = 0; i < 50; i += 1) expect(await store.peek('k', rate)).toEqual({ allowed: true, retryAfterMs: 0, remaining: 10 });
    });

    it('gives back what is refunded, and never more than the burst', async () => {
      for (let i = 0; i < 10; i += 1) await store.spend('k', rate);
      expect((await store.spend('k', rate, -1)).remaining).toBe(1);
      expect((await store.spend('k', rate, -1_000)).remaining).toBe(10);
      expect((await store.spend('k', rate, 10)).allowed).toBe(true);
      expect((await store.spend('k', rate)).allowed).toBe(false);
    });

    it('a clock that is set back locks nobody out for longer than an empty bucket', async () => {
      await store.spend('k', rate, 10);
      clock.advance(-3_600_000);
      expect(await store.spend('k', rate)).toEqual({ allowed: false, retryAfterMs: 6_000, remaining: 0 });
      clock.advance(6_000);
      expect((await store.spend('k', rate)).allowed).toBe(true);
    });

    it('refuses a rate or a cost that could never be met', async () => {
      await expect(store.spend('k', { intervalMs: 0, burst: 1 })).rejects.toThrow(RangeError);
      await expect(store.peek('k', { intervalMs: 10, burst: 0.5 })).rejects.toThrow(RangeError);
      await expect(store.spend('k', rate, 11)).rejects.toThrow(RangeError);
    });
  });

  describe('windows', () => {
    it('counts what fell into the last window, moving with time', async () => {
      expect(await store.countInWindow('k', 10_000)).toBe(1);
      clock.advance(4_000);
      expect(await store.countInWindow('k', 10_000)).toBe(2);
      clock.advance(5_999);
      expect(await store.countInWindow('k', 10_000)).toBe(3);
      clock.advance(1);
      expect(await store.countInWindow('k', 10_000)).toBe(3);
      clock.advance(10_000);
      expect(await store.countInWindow('k', 10_000)).toBe(1);
    });

    it('of twenty at once each is told a count of its own', async () => {
      const counts = await Promise.all(Array.from({ length: 20 }, () => store.countInWindow('k', 60_000)));
      expect([...counts].sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
    });

    it('stops growing at its cap', async () => {
      let count = 0;
      for (let i = 0; i < WINDOW_CAP + 20; i += 1) count = await store.countInWindow('k', 60_000);
      expect(count).toBe(WINDOW_CAP);
    });

    it('begins anew after a reset', async () => {
      await store.countInWindow('k', 60_000);
      await store.resetWindow('k');
      expect(await store.countInWindow('k', 60_000)).toBe(1);
    });
  });

  describe('leases', () => {
    it('of fifty owners at once exactly one holds it, and may renew it', async () => {
      const answers = await Promise.all(Array.from({ length: 50 }, (_, index) => store.lease('job', `o${index}`, 60_000)));
      expect(answers.filter(Boolean)).toHaveLength(1);
      const holder = `o${answers.indexOf(true)}`;
      expect(await store.lease('job', holder, 60_000)).toBe(true);
      expect(await store.lease('job', 'stranger', 60_000)).toBe(false);
    });

    it('only its holder can give it up', async () => {
      await store.lease('job', 'a', 60_000);
      await store.release('job', 'b');
      expect(await store.lease('job', 'b', 60_000)).toBe(false);
      await store.release('job', 'a');
      expect(await store.lease('job', 'b', 60_000)).toBe(true);
    });
  });

  describe('messages', () => {
    it('reach every handler of the channel and no other, whatever one of them throws', async () => {
      const heard: string[] = [];
      const both = new Promise<void>((resolve) => {
        void Promise.all([
          store.subscribe('one', () => {
            throw new Error('a faulty subscriber');
          }),
          store.subscribe('two', (message) => heard.push(`two:${message}`)),
          store.subscribe('one', (message) => {
            heard.push(`one:${message}`);
            if (message === 'last') resolve();
          }),
        ]).then(async () => {
          expect(store.subscribed).toBe(true);
          await store.publish('one', 'héllo');
          await store.publish('one', 'last');
        });
      });
      await both;
      expect(heard).toEqual(['one:héllo', 'one:last']);
    });
  });

  it('answers a ping', async () => {
    expect(await store.ping()).toBe(true);
    expect(store.available).toBe(true);
  });
});

(REDIS_URL ? describe : describe.skip)('the Redis form and its TypeScript twin', () => {
  it('agree step by step on random spending, peeking, refunding and clocks that jump', async () => {
    for (const seed of [1, 2, 3, 4]) {
      const next = random(seed);
      const clock = new FakeClock();
      const memory = new MemoryStore({ clock });
      const redis = await connected(clock);
      // Long intervals: a key in Redis must not die of real time while the fake one stands still.
      const rates: Rate[] = [
        { intervalMs: 60_000, burst: 5 },
        { intervalMs: 3_600_000, burst: 40 },
      ];
      try {
        for (let step = 0; step < 400; step += 1) {
          const rate = rates[Math.floor(next() * rates.length)]!;
          const key = `k${Math.floor(next() * 3)}:${rate.burst}`;
          const cost = Math.floor(next() * 4) - 1;
          const jump = next() < 0.05 ? -3 : next() * 1.2;
          clock.advance(Math.floor(rate.intervalMs * jump));
          const what = next();
          const operation = (store: KeyValueStore): Promise<unknown> => {
            if (what < 0.2) return store.peek(key, rate);
            if (what < 0.3) return store.countInWindow(key, rate.intervalMs * 3);
            return store.spend(key, rate, cost);
          };
          expect({ seed, step, answer: await operation(redis) }).toEqual({ seed, step, answer: await operation(memory) });
        }
      } finally {
        await redis.close();
      }
    }
  });

  it('agree on random versioned writes', async () => {
    const next = random(11);
    const clock = new FakeClock();
    const memory = new MemoryStore({ clock });
    const redis = await connected(clock);
    try {
      for (let step = 0; step < 500; step += 1) {
        const key = `k${Math.floor(next() * 4)}`;
        const version = Math.floor(next() * 12);
        const value = next() < 0.3 ? null : `v${step}`;
        const a = await redis.writeIfNewer(key, version, value, 3_600_000);
        const b = await memory.writeIfNewer(key, version, value, 3_600_000);
        expect({ step, wrote: a, holds: await redis.readVersioned(key) }).toEqual({ step, wrote: b, holds: await memory.readVersioned(key) });
      }
    } finally {
      await redis.close();
    }
  });

  it('take the time of Redis where no clock is given, so that instances need not agree on theirs', async () => {
    const prefix = `test:${randomUUID()}:`;
    const one = await connected(undefined, prefix);
    const other = await connected(undefined, prefix);
    try {
      const rate = { intervalMs: 3_600_000, burst: 2 };
      expect((await one.spend('k', rate)).remaining).toBe(1);
      expect((await other.spend('k', rate)).remaining).toBe(0);
      expect((await one.spend('k', rate)).allowed).toBe(false);
      expect(await one.countInWindow('w', 60_000)).toBe(1);
      expect(await other.countInWindow('w', 60_000)).toBe(2);
    } finally {
      await one.close();
      await other.close();
    }
  });
});
