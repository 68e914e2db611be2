import { CacheScene, settle, statusIn } from '../../../test/factories/cache-scene.js';
import { MemoryStore } from './memory-store.js';

const { ID } = CacheScene;

describe('VersionedCache', () => {
  let scene: CacheScene;
  let clock: CacheScene['clock'];
  let source: CacheScene['source'];

  beforeEach(() => {
    scene = new CacheScene();
    ({ clock, source } = scene);
  });

  describe('where answers come from', () => {
    it('asks the source once and then memory, without a promise', async () => {
      const cache = await scene.cache();
      expect(cache.peek(ID)).toBeUndefined();
      expect(await cache.get(ID)).toEqual({ value: { status: 'ACTIVE' }, stale: false, confirmedAt: clock.now() });
      expect(cache.peek(ID)).toEqual({ status: 'ACTIVE' });
      await cache.get(ID);
      expect(source.reads).toBe(1);
      expect(scene.counted).toEqual(['source', 'memory', 'memory']);
    });

    it('another process finds it in the store', async () => {
      await (await scene.cache()).get(ID);
      const other = await scene.cache();
      expect(await statusIn(other)).toBe('ACTIVE');
      expect(source.reads).toBe(1);
      expect(scene.counted).toContain('store');
    });

    it('many at once share one question', async () => {
      const cache = await scene.cache();
      source.hold();
      const answers = Array.from({ length: 50 }, () => statusIn(cache));
      await settle();
      source.letGo();
      expect(new Set(await Promise.all(answers))).toEqual(new Set(['ACTIVE']));
      expect(source.reads).toBe(1);
    });

    it('reads anew when the last confirmation by the source is too old, however often it was used', async () => {
      const cache = await scene.cache();
      await cache.get(ID);
      for (let second = 0; second < 29; second += 1) {
        clock.advance(1_000);
        expect(cache.peek(ID)).toBeDefined();
      }
      source.suspend();
      clock.advance(1_000);
      expect(cache.peek(ID)).toBeUndefined();
      expect(await statusIn(cache)).toBe('SUSPENDED');
    });

    it('what is asked for when most of its time is over is read anew meanwhile: whoever comes when it is over need not wait', async () => {
      const cache = await scene.cache();
      await cache.get(ID);
      clock.advance(23_900);
      cache.peek(ID);
      await settle();
      expect(source.reads).toBe(1);
      clock.advance(200);
      expect([cache.peek(ID), cache.peek(ID)]).toEqual([{ status: 'ACTIVE' }, { status: 'ACTIVE' }]);
      await settle();
      expect(source.reads).toBe(2);
      clock.advance(23_000);
      expect(cache.peek(ID)).toEqual({ status: 'ACTIVE' });
      await settle();
      expect(source.reads).toBe(2);
    });

    it('what was read ahead in vain is tried no more until it is old, and then the source decides', async () => {
      const cache = await scene.cache();
      await cache.get(ID);
      clock.advance(25_000);
      source.down = true;
      for (let i = 0; i < 10; i += 1) {
        expect(cache.peek(ID)).toEqual({ status: 'ACTIVE' });
        await settle();
      }
      expect(source.reads).toBe(2);
      clock.advance(5_000);
      expect(cache.peek(ID)).toBeUndefined();
    });

    it('what is read ahead is never older than an invalidation that came meanwhile', async () => {
      const cache = await scene.cache();
      await cache.get(ID);
      clock.advance(25_000);
      source.hold();
      expect(cache.peek(ID)).toEqual({ status: 'ACTIVE' });
      await settle();
      source.suspend();
      await cache.invalidate(ID, 2);
      expect(cache.peek(ID)).toBeUndefined();
      source.letGo();
      expect(await statusIn(cache)).toBe('SUSPENDED');
      await settle();
      expect(cache.peek(ID)).toEqual({ status: 'SUSPENDED' });
    });

    it('what was loaded in one moment is read anew over a stretch of time, never later than without it, and the same everywhere', async () => {
      const [cache, other] = [await scene.cache({ freshSpread: 0.2 }), await scene.cache({ freshSpread: 0.2 })];
      const ids = Array.from({ length: 256 }, (_, index) => `0b8f0d2e-8f5c-4d8e-9a53-0d6a3f1c${index.toString(16).padStart(4, '0')}`);
      await Promise.all(ids.flatMap((id) => [cache.get(id), other.get(id)]));
      const fresh = (of: typeof cache) => ids.filter((id) => of.peek(id) !== undefined);
      clock.advance(23_999);
      expect(fresh(cache)).toHaveLength(ids.length);
      const left = [1_001, 1_000, 1_000, 1_000, 1_000].map((ms) => {
        clock.advance(ms);
        return fresh(cache).length;
      });
      expect([...left].sort((a, b) => b - a)).toEqual(left);
      expect(new Set(left).size).toBe(left.length);
      expect(fresh(other)).toEqual(fresh(cache));
      clock.advance(1_000);
      expect(fresh(cache)).toEqual([]);
    });

    it('an entry that is read anew early is not taken from the store instead', async () => {
      const cache = await scene.cache({ freshSpread: 0.9 });
      await cache.get(ID);
      while (cache.peek(ID) !== undefined) clock.advance(100);
      await cache.get(ID);
      expect(source.reads).toBe(2);
    });

    it('taking an entry from the store does not make it younger', async () => {
      await (await scene.cache()).get(ID);
      clock.advance(20_000);
      const other = await scene.cache();
      await other.get(ID);
      clock.advance(10_000);
      expect(other.peek(ID)).toBeUndefined();
    });

    it('remembers that there is no such thing, for a short time and without sliding', async () => {
      const cache = await scene.cache();
      source.row = null;
      expect((await cache.get(ID)).value).toBeNull();
      clock.advance(1_900);
      expect((await cache.get(ID)).value).toBeNull();
      expect(source.reads).toBe(1);
      clock.advance(100);
      source.row = { version: 1, value: { status: 'ACTIVE' } };
      expect(await statusIn(cache)).toBe('ACTIVE');
    });

    it('what is born is seen at once, though its absence was remembered', async () => {
      const cache = await scene.cache();
      const other = await scene.cache();
      source.row = null;
      await Promise.all([cache.get(ID), other.get(ID)]);
      source.row = { version: 1, value: { status: 'ACTIVE' } };
      await cache.invalidate(ID, 1);
      expect([await statusIn(cache), await statusIn(other)]).toEqual(['ACTIVE', 'ACTIVE']);
    });

    it('questions about unknown ids push out no entry', async () => {
      const cache = await scene.cache({ maxEntries: 4 });
      await cache.get(ID);
      source.row = null;
      for (let i = 0; i < 100; i += 1) await cache.get(`unknown-${i}`);
      expect(cache.peek(ID)).toBeDefined();
    });

    it('after an invalidation the new state is found in the store again', async () => {
      const cache = await scene.cache();
      await cache.get(ID);
      source.suspend();
      await cache.invalidate(ID, 2);
      await cache.get(ID);
      const { reads } = source;
      expect(await statusIn(await scene.cache())).toBe('SUSPENDED');
      expect(source.reads).toBe(reads);
    });

    it('a source that was set back to an older version is believed', async () => {
      source.row = { version: 5, value: { status: 'SUSPENDED' } };
      const cache = await scene.cache();
      await cache.get(ID);
      source.row = { version: 3, value: { status: 'ACTIVE' } };
      clock.advance(30_000);
      expect(await statusIn(cache)).toBe('ACTIVE');
      expect(cache.peek(ID)).toEqual({ status: 'ACTIVE' });
    });

    it('holds no more entries than it may', async () => {
      const cache = await scene.cache({ store: new MemoryStore({ clock }), maxEntries: 3 });
      for (let i = 0; i < 10; i += 1) await cache.get(`id-${i}`);
      expect(Array.from({ length: 10 }, (_, i) => cache.peek(`id-${i}`)).filter(Boolean)).toHaveLength(3);
    });

    it('a store of this process alone is not filled with the same once more, and invalidations still hold', async () => {
      const alone = new MemoryStore({ clock });
      const reading = jest.spyOn(alone, 'readVersioned');
      const cache = await scene.cache({ store: alone });
      await cache.get(ID);
      expect(reading).not.toHaveBeenCalled();
      expect(alone.size).toBe(0);
      source.suspend();
      expect(await cache.invalidate(ID, 2)).toBe(true);
      expect(await statusIn(cache)).toBe('SUSPENDED');
    });
  });
});
