import { FakeClock } from '../fakes/fake-clock.js';
import { FakeSharedStore } from '../fakes/fake-shared-store.js';
import { type CacheEvent, VersionedCache, type VersionedCacheOptions } from '../../src/platform/redis/versioned-cache.js';

export interface SceneFacts {
  readonly status: string;
}

/** The source of truth, with answers that can be held back after they were read. */
export class SceneSource {
  row: { version: number; value: SceneFacts } | null = { version: 1, value: { status: 'ACTIVE' } };
  down = false;
  reads = 0;
  private held: Promise<void> | undefined;
  private open: () => void = () => undefined;

  hold(): void {
    this.held = new Promise((resolve) => (this.open = resolve));
  }

  /** Those who ask from now on are answered at once; those who wait go on waiting. */
  pass(): void {
    this.held = undefined;
  }

  letGo(): void {
    this.held = undefined;
    this.open();
  }

  suspend(version = 2): void {
    this.row = { version, value: { status: 'SUSPENDED' } };
  }

  async load(): Promise<{ version: number; value: SceneFacts } | null> {
    this.reads += 1;
    const { row, down } = this;
    await this.held;
    if (down) throw new Error('the source is gone');
    return row;
  }
}

/** A source, a shared store and as many caches over them as a test wants, each playing a process of its own. */
export class CacheScene {
  static readonly ID = '0b8f0d2e-8f5c-4d8e-9a53-0d6a3f1c2b4a';
  readonly clock = new FakeClock();
  readonly store = new FakeSharedStore({ clock: this.clock });
  readonly source = new SceneSource();
  readonly counted: CacheEvent[] = [];

  /** A cache that was not started yet. */
  build(extra: Partial<VersionedCacheOptions<SceneFacts, SceneFacts>> = {}): VersionedCache<SceneFacts, SceneFacts> {
    return new VersionedCache<SceneFacts, SceneFacts>({
      store: this.store,
      clock: this.clock,
      name: 'facts.v1',
      macKey: Buffer.alloc(32, 7),
      channel: 'facts',
      staleMs: 60_000,
      decode: (text) => JSON.parse(text) as SceneFacts,
      load: () => this.source.load(),
      onCount: (event) => this.counted.push(event),
      ...extra,
    });
  }

  async cache(extra: Partial<VersionedCacheOptions<SceneFacts, SceneFacts>> = {}) {
    const cache = this.build(extra);
    await cache.start();
    return cache;
  }
}

export async function statusIn(cache: VersionedCache<SceneFacts, SceneFacts>): Promise<string | undefined> {
  return (await cache.get(CacheScene.ID)).value?.status;
}

/** Lets everything run that waits for nothing but promises. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
