import { CacheScene, settle, statusIn } from '../../../test/factories/cache-scene.js';
import type { FakeSharedStore } from '../../../test/fakes/fake-shared-store.js';

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

  describe('a notice of the source, while the store holds the old state', () => {
    it('holds on the very next question, whatever memory and store say', async () => {
      const cache = await scene.cache();
      await cache.get(ID);
      clock.advance(1_000);
      source.suspend();
      cache.noticed(ID);
      expect(cache.peek(ID)).toBeUndefined();
      expect(await statusIn(cache)).toBe('SUSPENDED');
      expect(cache.peek(ID)).toEqual({ status: 'SUSPENDED' });
    });

    it('is not undone by an entry that a clock ahead of ours has confirmed before', async () => {
      const cache = await scene.cache();
      clock.advance(4_999);
      await (await scene.cache()).get(ID);
      clock.advance(-4_999);
      source.suspend();
      cache.noticed(ID);
      expect(await statusIn(cache)).toBe('SUSPENDED');
    });

    it('puts the store right for all others', async () => {
      const cache = await scene.cache();
      await cache.get(ID);
      source.suspend();
      cache.noticed(ID);
      await cache.get(ID);
      expect(await statusIn(await scene.cache())).toBe('SUSPENDED');
    });

    it('makes a look-up that it overtakes ask again, though the version be the same', async () => {
      const cache = await scene.cache();
      source.hold();
      const racing = statusIn(cache);
      await settle();
      source.suspend(1);
      cache.noticed(ID);
      source.letGo();
      expect(await racing).toBe('SUSPENDED');
      expect(cache.peek(ID)).toEqual({ status: 'SUSPENDED' });
    });

    it('overtakes an answer of the store as well', async () => {
      const cache = await scene.cache();
      await (await scene.cache()).get(ID);
      const letGo = store.holdAnswersOf('readVersioned');
      const racing = statusIn(cache);
      await settle();
      source.suspend();
      cache.noticed(ID);
      letGo();
      expect(await racing).toBe('SUSPENDED');
    });

    it('is waited for by nobody who asks after it: no look-up from before it is joined', async () => {
      const cache = await scene.cache();
      source.hold();
      const before = cache.get(ID);
      await settle();
      source.suspend();
      cache.noticed(ID);
      const after = cache.get(ID);
      await settle();
      expect(source.reads).toBe(2);
      source.letGo();
      expect([(await after).value?.status, (await before).value?.status]).toEqual(['SUSPENDED', 'SUSPENDED']);
    });

    it('overtakes "no such thing"', async () => {
      const cache = await scene.cache();
      source.row = null;
      source.hold();
      const racing = statusIn(cache);
      await settle();
      source.row = { version: 1, value: { status: 'ACTIVE' } };
      cache.noticed(ID);
      source.letGo();
      expect(await racing).toBe('ACTIVE');
    });

    it('leaves nothing to serve when the source fails after it', async () => {
      const cache = await scene.cache();
      await cache.get(ID);
      clock.advance(1_000);
      cache.noticed(ID);
      source.down = true;
      await expect(cache.get(ID)).rejects.toThrow('the source is gone');
    });

    it('and during a look-up that fails in the end', async () => {
      const cache = await scene.cache();
      await cache.get(ID);
      clock.advance(31_000);
      source.down = true;
      source.hold();
      const racing = cache.get(ID);
      await settle();
      cache.noticed(ID);
      source.letGo();
      await expect(racing).rejects.toThrow('the source is gone');
    });

    it('is about one id: others stay in memory and are taken from the store', async () => {
      const cache = await scene.cache();
      await cache.get('another');
      cache.noticed(ID);
      expect(cache.peek('another')).toBeDefined();
      await (await scene.cache()).get('third');
      const { reads } = source;
      await cache.get('third');
      expect(source.reads).toBe(reads);
    });
  });

  describe('a notice about a scope', () => {
    const scopeOf = ({ status }: { status: string }): string => (status === 'OTHER' ? 'other' : 'mine');

    it('is one about each of its own, and about nothing else', async () => {
      const cache = await scene.cache({ scopeOf });
      await cache.get(ID);
      source.row = { version: 1, value: { status: 'OTHER' } };
      await cache.get('foreign');
      source.suspend();
      cache.noticedAll('mine');
      expect(cache.peek('foreign')).toBeDefined();
      expect(cache.peek(ID)).toBeUndefined();
      expect(await statusIn(cache)).toBe('SUSPENDED');
    });

    it('overtakes look-ups whose scope is not known yet', async () => {
      const cache = await scene.cache({ scopeOf });
      source.hold();
      const racing = statusIn(cache);
      await settle();
      source.suspend(1);
      cache.noticedAll('mine');
      source.letGo();
      expect(await racing).toBe('SUSPENDED');
    });
  });

  it('after a stretch in which notices were missed, memory and store are asked for anew', async () => {
    const cache = await scene.cache();
    await cache.get(ID);
    clock.advance(1);
    source.suspend();
    cache.noticesMissed();
    expect(cache.peek(ID)).toBeUndefined();
    expect(await statusIn(cache)).toBe('SUSPENDED');
  });
});
