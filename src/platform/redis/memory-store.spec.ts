import { FakeClock } from '../../../test/fakes/fake-clock.js';
import { StoreUnavailableError } from './key-value.js';
import { MemoryStore } from './memory-store.js';

describe('MemoryStore', () => {
  let clock: FakeClock;

  beforeEach(() => {
    clock = new FakeClock();
  });

  it('says since when it remembers, and that nobody else sees it', () => {
    const store = new MemoryStore({ clock });
    expect(store.startedAt).toBe(clock.now());
    expect(store.shared).toBe(false);
  });

  it('forgets values, versions, tombstones and leases when their time has come, and not before', async () => {
    const store = new MemoryStore({ clock });
    await store.setIfAbsent('k', 'value', 1_000);
    await store.writeIfNewer('k', 9, null, 1_000);
    await store.lease('k', 'a', 1_000);
    clock.advance(999);
    expect(await store.setIfAbsent('k', 'value', 1_000)).toBe(false);
    expect(await store.writeIfNewer('k', 1, 'x', 1_000)).toBe(false);
    expect(await store.lease('k', 'b', 1_000)).toBe(false);
    clock.advance(1);
    expect(await store.get('k')).toBeNull();
    expect(await store.setIfAbsent('k', 'value', 1_000)).toBe(true);
    expect(await store.writeIfNewer('k', 1, 'x', 1_000)).toBe(true);
    expect(await store.lease('k', 'b', 1_000)).toBe(true);
  });

  it('full of living nonces it refuses a new one rather than forget one, and takes it when one has died', async () => {
    const store = new MemoryStore({ clock, maxEntries: 100 });
    for (let i = 0; i < 100; i += 1) await store.setIfAbsent(`n${i}`, '1', 1_000 + i);
    await expect(store.setIfAbsent('late', '1', 1_000)).rejects.toThrow(StoreUnavailableError);
    expect(await store.setIfAbsent('n0', '1', 1_000)).toBe(false);
    clock.advance(1_000);
    expect(await store.setIfAbsent('late', '1', 1_000)).toBe(true);
    await expect(store.setIfAbsent('later', '1', 1_000)).rejects.toThrow(StoreUnavailableError);
  });

  it('a full shelf may still replace what it holds', async () => {
    const store = new MemoryStore({ clock, maxEntries: 2 });
    await store.writeIfNewer('a', 1, 'x', 1_000);
    await store.writeIfNewer('b', 1, 'x', 1_000);
    expect(await store.writeIfNewer('a', 2, null, 1_000)).toBe(true);
    await expect(store.writeIfNewer('c', 1, 'x', 1_000)).rejects.toThrow(StoreUnavailableError);
  });

  it('a renewal that dies earlier makes room earlier', async () => {
    const store = new MemoryStore({ clock, maxEntries: 100 });
    for (let i = 0; i < 100; i += 1) await store.lease(`k${i}`, 'me', 60_000);
    await expect(store.lease('b', 'me', 1_000)).rejects.toThrow(StoreUnavailableError);
    await store.lease('k50', 'me', 1_000);
    clock.advance(1_000);
    expect(await store.lease('b', 'me', 1_000)).toBe(true);
  });

  it('drops the dead as it goes, so that short-lived values never pile up', async () => {
    const store = new MemoryStore({ clock, maxEntries: 100_000 });
    for (let i = 0; i < 50_000; i += 1) {
      await store.setIfAbsent(`n${i}`, '1', 100);
      clock.advance(1);
    }
    expect(store.size).toBeLessThan(1_000);
  });

  it('counters push out the oldest, so that a flood of keys is bounded and refuses nobody', async () => {
    const store = new MemoryStore({ clock, maxEntries: 1_000 });
    for (let i = 0; i < 20_000; i += 1) {
      await store.spend(`k${i}`, { intervalMs: 1_000, burst: 3 });
      await store.countInWindow(`k${i}`, 60_000);
    }
    expect(store.size).toBeLessThanOrEqual(1_125);
  });

  it('remembers nothing of a rate that is whole again', async () => {
    const store = new MemoryStore({ clock });
    await store.spend('k', { intervalMs: 1_000, burst: 3 });
    await store.spend('k', { intervalMs: 1_000, burst: 3 }, -1);
    expect(store.size).toBe(0);
  });
});
