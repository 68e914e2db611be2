import { CacheScene, statusIn } from '../../../test/factories/cache-scene.js';
import type { FakeSharedStore } from '../../../test/fakes/fake-shared-store.js';
import { FakeClock } from '../../../test/fakes/fake-clock.js';

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

  describe('what the store holds is not believed', () => {
    const keyOf = async (): Promise<string> => {
      const spy = jest.spyOn(store, 'readVersioned');
      await (await scene.cache()).get(ID);
      const [[key = ''] = []] = spy.mock.calls;
      spy.mockRestore();
      return key;
    };

    it('without a MAC of ours over this very key, version and time', async () => {
      const key = await keyOf();
      const { value } = (await store.readVersioned(key))!;
      const forgeries = [
        { version: 2, value: value! },
        { version: 3, value: value!.replace('ACTIVE', 'ACTIV3') },
        { version: 4, value: value!.replace(`.${clock.now()}.`, `.${clock.now() + 1}.`) },
        { version: 5, value: '' },
        // The same digits, cut elsewhere between version and time.
        { version: 11, value: value!.replace(`.${clock.now()}.`, `.${String(clock.now()).slice(1)}.`) },
        { version: 12, value: `.${clock.now()}.{"status":"ACTIVE"}` },
      ];
      source.row = { version: 99, value: { status: 'SUSPENDED' } };
      for (const forgery of forgeries) {
        await store.writeIfNewer(key, forgery.version, forgery.value, 60_000);
        scene.counted.length = 0;
        const victim = await scene.cache();
        jest.spyOn(store, 'writeIfNewer').mockResolvedValueOnce(false);
        expect(await statusIn(victim)).toBe('SUSPENDED');
        expect(scene.counted).toEqual(['bad_mac', 'source']);
      }
    });

    it('under another key of the cache', async () => {
      const key = await keyOf();
      const { version, value } = (await store.readVersioned(key))!;
      const spy = jest.spyOn(store, 'readVersioned').mockResolvedValueOnce({ version, value });
      scene.counted.length = 0;
      await (await scene.cache()).get('another');
      expect(scene.counted).toEqual(['bad_mac', 'source']);
      spy.mockRestore();
    });

    it('under another MAC key', async () => {
      await (await scene.cache()).get(ID);
      scene.counted.length = 0;
      await (await scene.cache({ macKey: Buffer.alloc(32, 8) })).get(ID);
      expect(scene.counted).toEqual(['bad_mac', 'source']);
    });

    it('from a clock far ahead of ours', async () => {
      const ahead = new FakeClock(clock.now() + 60_000);
      await scene.build({ clock: ahead }).get(ID);
      await (await scene.cache()).get(ID);
      expect(source.reads).toBe(2);
    });

    it('if it cannot be read', async () => {
      await scene.build({ encode: () => 'another shape', decode: () => ({ status: '' }) }).get(ID);
      expect(await statusIn(await scene.cache())).toBe('ACTIVE');
      expect(scene.counted).toContain('undecodable');
    });

    it('and messages that are not ours or of another cache change nothing', async () => {
      const cache = await scene.cache();
      const other = await scene.cache({ name: 'others.v1' });
      await Promise.all([cache.get(ID), other.get(ID)]);
      for (const message of ['', '{', 'null', '[]', JSON.stringify({ name: 'facts.v1', id: ID, version: 9, mac: 'x' })]) {
        await store.publish('facts', message);
      }
      await other.invalidate(ID, 9);
      expect(cache.peek(ID)).toBeDefined();
      expect(other.peek(ID)).toBeUndefined();
    });

    it('and no id stands in a key', async () => {
      expect(await keyOf()).not.toContain(ID);
    });
  });
});
