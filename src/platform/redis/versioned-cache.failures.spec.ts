import { CacheScene, settle, statusIn } from '../../../test/factories/cache-scene.js';
import type { FakeSharedStore } from '../../../test/fakes/fake-shared-store.js';
import { MemoryStore } from './memory-store.js';

const { ID } = CacheScene;

describe('VersionedCache', () => {
  let scene: CacheScene;
  let store: FakeSharedStore;
  let clock: CacheScene['clock'];
  let source: CacheScene['source'];

  beforeEach(() => {
    scene = new CacheScene();
    ({ clock, store, source } = scene);
  });

  describe('while the subscription is down', () => {
    it('memory is not used, and after it what memory held is asked for anew', async () => {
      const cache = await scene.cache();
      await cache.get(ID);
      store.setSubscribed(false);
      expect(cache.peek(ID)).toBeUndefined();
      await cache.get(ID);
      expect(scene.counted).toContain('bypass');
      // Lost: nobody hears it, and the store no longer has the entry nor a tombstone.
      source.suspend();
      store.setSubscribed(true);
      expect(cache.peek(ID)).toBeUndefined();
      expect(await statusIn(cache)).toBe('SUSPENDED');
    });

    it('a look-up begun before a gap leaves nothing fresh behind it', async () => {
      const cache = await scene.cache();
      source.hold();
      const racing = cache.get(ID);
      await settle();
      store.setSubscribed(false);
      source.suspend();
      store.setSubscribed(true);
      const after = cache.get(ID);
      await settle();
      source.letGo();
      await racing;
      expect((await after).value?.status).toBe('SUSPENDED');
      expect(await statusIn(cache)).toBe('SUSPENDED');
    });

    it('nobody joins a look-up of another, who may not know of a change made since', async () => {
      const cache = await scene.cache();
      store.setSubscribed(false);
      source.hold();
      const first = cache.get(ID);
      await settle();
      source.suspend();
      const second = cache.get(ID);
      await settle();
      source.letGo();
      await first;
      expect((await second).value?.status).toBe('SUSPENDED');
    });

    it('what the store holds from before a gap is asked for anew', async () => {
      const [here, there] = [await scene.cache(), await scene.cache()];
      await here.get(ID);
      clock.advance(10);
      store.setGone(true);
      source.suspend();
      await here.invalidate(ID, 2);
      store.alive = true;
      store.believedAlive = true;
      clock.advance(10);
      // Only the other is back; the one that owes the invalidation is not yet.
      store.setSubscribed(true);
      expect(await statusIn(there)).toBe('SUSPENDED');
    });

    it('a store that is known to be down is not called', async () => {
      const cache = await scene.cache();
      store.setGone(true);
      store.calls.length = 0;
      expect(await statusIn(cache)).toBe('ACTIVE');
      expect(store.calls).toEqual([]);
    });

    it('a slow look-up does not replace what another learned after it', async () => {
      const cache = await scene.cache();
      store.setSubscribed(false);
      source.hold();
      const slow = cache.get(ID);
      await settle();
      source.pass();
      source.suspend();
      clock.advance(1);
      expect(await statusIn(cache)).toBe('SUSPENDED');
      source.letGo();
      expect((await slow).value?.status).toBe('SUSPENDED');
    });

    it('what could not be told is told as soon as it is up again', async () => {
      const here = await scene.cache();
      await here.get(ID);
      store.setGone(true);
      source.suspend();
      expect(await here.invalidate(ID, 2)).toBe(false);
      store.setGone(false);
      await settle();
      expect(await statusIn(await scene.cache())).toBe('SUSPENDED');
    });

    it('a cache that was never started does not trust its memory, nor afterwards what it held before', async () => {
      const cache = scene.build();
      await cache.get(ID);
      expect(cache.peek(ID)).toBeUndefined();
      await cache.start();
      expect(cache.peek(ID)).toBeUndefined();
      await cache.get(ID);
      expect(cache.peek(ID)).toBeDefined();
    });
  });

  describe('when the source fails', () => {
    it('serves what it confirmed within the limit, marked stale, and nothing beyond', async () => {
      const cache = await scene.cache();
      const { confirmedAt } = await cache.get(ID);
      source.down = true;
      clock.advance(59_999);
      expect(await cache.get(ID)).toEqual({ value: { status: 'ACTIVE' }, stale: true, confirmedAt });
      clock.advance(1);
      await expect(cache.get(ID)).rejects.toThrow('the source is gone');
    });

    it('serves what another process left in the store', async () => {
      await (await scene.cache()).get(ID);
      const other = await scene.cache();
      source.down = true;
      clock.advance(40_000);
      expect((await other.get(ID)).stale).toBe(true);
    });

    it('with store and source both gone there is no answer, whatever memory holds', async () => {
      const cache = await scene.cache();
      await cache.get(ID);
      source.down = true;
      store.setGone(true);
      await expect(cache.get(ID)).rejects.toThrow('the source is gone');
    });

    it('never serves what was invalidated', async () => {
      const cache = await scene.cache();
      await cache.get(ID);
      source.down = true;
      await cache.invalidate(ID, 2);
      await expect(cache.get(ID)).rejects.toThrow('the source is gone');
    });

    it('a tombstone in the store speaks against what memory held through a gap', async () => {
      const [here, there] = [await scene.cache(), await scene.cache()];
      await there.get(ID);
      store.setSubscribed(false);
      source.down = true;
      await here.invalidate(ID, 2);
      await expect(there.get(ID)).rejects.toThrow('the source is gone');
    });

    it('while deaf, memory serves only if the store answers and does not contradict', async () => {
      const cache = await scene.cache();
      await cache.get(ID);
      store.setSubscribed(false);
      source.down = true;
      expect((await cache.get(ID)).stale).toBe(true);
    });

    it('while deaf, memory serves also what the store never got', async () => {
      const cache = await scene.cache();
      jest.spyOn(store, 'writeIfNewer').mockResolvedValueOnce(true);
      await cache.get(ID);
      store.setSubscribed(false);
      source.down = true;
      expect((await cache.get(ID)).stale).toBe(true);
    });

    it.each([true, false])('an invalidation during a look-up that fails in the end holds (heard: %s)', async (hears) => {
      const [here, there] = [await scene.cache(), await scene.cache()];
      await there.get(ID);
      clock.advance(31_000);
      store.setSubscribed(hears);
      source.down = true;
      source.hold();
      const racing = there.get(ID);
      await settle();
      await here.invalidate(ID, 2);
      source.letGo();
      await expect(racing).rejects.toThrow('the source is gone');
    });

    it('what the source said is no longer there is not served from anywhere', async () => {
      const cache = await scene.cache();
      await cache.get(ID);
      clock.advance(30_000);
      source.row = null;
      await cache.get(ID);
      source.down = true;
      clock.advance(2_000);
      await expect(cache.get(ID)).rejects.toThrow('the source is gone');
      await expect((await scene.cache()).get(ID)).rejects.toThrow('the source is gone');
    });

    it('nor from memory where that is all there is', async () => {
      const cache = await scene.cache({ store: new MemoryStore({ clock }) });
      await cache.get(ID);
      clock.advance(30_000);
      source.row = null;
      await cache.get(ID);
      source.down = true;
      clock.advance(2_000);
      await expect(cache.get(ID)).rejects.toThrow('the source is gone');
    });

    it('one success ends the pause', async () => {
      const cache = await scene.cache();
      await cache.get(ID);
      clock.advance(31_000);
      source.down = true;
      expect((await cache.get(ID)).stale).toBe(true);
      source.down = false;
      await cache.get('another');
      expect((await cache.get(ID)).stale).toBe(false);
    });

    it('leaves the source alone for a moment, but still asks for what nothing else can answer', async () => {
      const cache = await scene.cache();
      await cache.get(ID);
      clock.advance(31_000);
      source.down = true;
      await cache.get(ID);
      const { reads } = source;
      await cache.get(ID);
      expect(source.reads).toBe(reads);
      await expect(cache.get('another')).rejects.toThrow();
      expect(source.reads).toBe(reads + 1);
      source.down = false;
      clock.advance(500);
      // Tried aside, so that who comes first waits for nothing either.
      expect((await cache.get(ID)).stale).toBe(true);
      await new Promise(setImmediate);
      expect(source.reads).toBe(reads + 2);
      expect((await cache.get(ID)).stale).toBe(false);
    });

    it('holds up nobody who can be served while the source hangs', async () => {
      const cache = await scene.cache();
      await cache.get(ID);
      clock.advance(31_000);
      source.down = true;
      await cache.get(ID);
      clock.advance(500);
      const hanging = jest.spyOn(source, 'load').mockReturnValue(new Promise(() => undefined));
      for (let i = 0; i < 3; i += 1) {
        expect((await cache.get(ID)).stale).toBe(true);
        clock.advance(500);
      }
      expect(hanging).toHaveBeenCalledTimes(1);
    });

    it('a limit shorter than the fresh time shortens the fresh time', async () => {
      const cache = await scene.cache({ staleMs: 1_000 });
      await cache.get(ID);
      source.down = true;
      clock.advance(1_000);
      await expect(cache.get(ID)).rejects.toThrow('the source is gone');
    });
  });
});
