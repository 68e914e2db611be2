import { CacheScene, settle, statusIn } from '../../../test/factories/cache-scene.js';
import type { FakeSharedStore } from '../../../test/fakes/fake-shared-store.js';

const { ID } = CacheScene;

describe('VersionedCache', () => {
  let scene: CacheScene;
  let store: FakeSharedStore;
  let source: CacheScene['source'];

  beforeEach(() => {
    scene = new CacheScene();
    ({ store, source } = scene);
  });

  describe('invalidation', () => {
    it('is seen by every process at once', async () => {
      const [here, there] = [await scene.cache(), await scene.cache()];
      await Promise.all([here.get(ID), there.get(ID)]);
      source.suspend();
      expect(await here.invalidate(ID, 2)).toBe(true);
      expect([here.peek(ID), there.peek(ID)]).toEqual([undefined, undefined]);
      expect([await statusIn(here), await statusIn(there)]).toEqual(['SUSPENDED', 'SUSPENDED']);
    });

    it('leaves alone what is already as new', async () => {
      const cache = await scene.cache();
      source.suspend(2);
      await cache.get(ID);
      await cache.invalidate(ID, 2);
      expect(cache.peek(ID)).toEqual({ status: 'SUSPENDED' });
    });

    it('a look-up that it overtakes asks again and never answers or keeps the old state', async () => {
      const cache = await scene.cache();
      source.hold();
      const racing = statusIn(cache);
      await settle();
      expect(source.reads).toBe(1);
      source.suspend();
      await cache.invalidate(ID, 2);
      source.letGo();
      expect(await racing).toBe('SUSPENDED');
      expect(cache.peek(ID)).toEqual({ status: 'SUSPENDED' });
    });

    it('a look-up in another process that it overtakes asks again', async () => {
      const [here, there] = [await scene.cache(), await scene.cache()];
      source.hold();
      const racing = statusIn(there);
      await settle();
      source.suspend();
      await here.invalidate(ID, 2);
      source.letGo();
      expect(await racing).toBe('SUSPENDED');
      expect(await statusIn(here)).toBe('SUSPENDED');
    });

    it('who asks after it does not wait for a look-up begun before it', async () => {
      const cache = await scene.cache();
      source.hold();
      const before = cache.get(ID);
      await settle();
      source.suspend();
      await cache.invalidate(ID, 2);
      const after = cache.get(ID);
      await settle();
      expect(source.reads).toBe(2);
      source.letGo();
      expect((await after).value?.status).toBe('SUSPENDED');
      expect((await before).value?.status).toBe('SUSPENDED');
    });

    it('an answer of the store that it overtakes is not used', async () => {
      const [here, there] = [await scene.cache(), await scene.cache()];
      await here.get(ID);
      const letGo = store.holdAnswersOf('readVersioned');
      const racing = statusIn(there);
      await settle();
      source.suspend();
      await here.invalidate(ID, 2);
      letGo();
      expect(await racing).toBe('SUSPENDED');
      expect(there.peek(ID)).toEqual({ status: 'SUSPENDED' });
    });

    it('a write-back by one who was deaf to it does not bring the old state back into the store', async () => {
      const [here, deaf] = [await scene.cache(), await scene.cache()];
      store.setSubscribed(false);
      source.hold();
      const racing = statusIn(deaf);
      await settle();
      source.suspend();
      await here.invalidate(ID, 2);
      source.letGo();
      expect(await racing).toBe('ACTIVE');
      expect(await statusIn(deaf)).toBe('SUSPENDED');
      store.setSubscribed(true);
      expect(await statusIn(await scene.cache())).toBe('SUSPENDED');
    });

    it('an outdated answer that the source repeats is refused, not served', async () => {
      const cache = await scene.cache();
      source.hold();
      const racing = cache.get(ID);
      await settle();
      await cache.invalidate(ID, 5);
      source.letGo();
      await expect(racing).rejects.toThrow(/outdated/);
      expect(source.reads).toBe(4);
    });

    it('"no such thing" that it overtakes is asked for again', async () => {
      const cache = await scene.cache();
      source.row = null;
      source.hold();
      const racing = statusIn(cache);
      await settle();
      source.row = { version: 1, value: { status: 'ACTIVE' } };
      await cache.invalidate(ID, 1);
      source.letGo();
      expect(await racing).toBe('ACTIVE');
    });

    it('the state after any mix of look-ups and changes is the last one', async () => {
      const caches = [await scene.cache(), await scene.cache(), await scene.cache()];
      let version = 1;
      const readings: Promise<unknown>[] = [];
      for (let step = 0; step < 60; step += 1) {
        const cache = caches[step % 3]!;
        if (step % 5 === 4) {
          version += 1;
          source.row = { version, value: { status: `S${version}` } };
          const told = cache.invalidate(ID, version);
          const least = version;
          readings.push(told.then(async () => {
            for (const each of caches) {
              const seen = Number((await each.get(ID)).value?.status.slice(1));
              expect(seen).toBeGreaterThanOrEqual(least);
            }
          }));
        } else {
          readings.push(cache.get(ID));
        }
        if (step % 7 === 0) await settle();
      }
      await Promise.all(readings);
      for (const cache of caches) expect(await statusIn(cache)).toBe(`S${version}`);
    });

    it('refuses a version that is none', async () => {
      const cache = await scene.cache();
      await expect(cache.invalidate(ID, Number.NaN)).rejects.toThrow(RangeError);
    });

    it('what the store did not take is offered again until it takes it', async () => {
      const [here, there] = [await scene.cache(), await scene.cache()];
      await there.get(ID);
      store.alive = false;
      source.suspend();
      expect(await here.invalidate(ID, 2)).toBe(false);
      expect(await statusIn(here)).toBe('SUSPENDED');
      store.alive = true;
      const heard = new Promise<void>((resolve) => void store.subscribe('facts', () => resolve()));
      await heard;
      expect(await statusIn(there)).toBe('SUSPENDED');
    });
  });
});
