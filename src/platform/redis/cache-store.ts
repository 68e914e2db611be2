import { EnvelopeSealer } from './cache-envelope.js';
import type { KeyValueStore } from './key-value.js';

export type CacheStoreEvent =
  | 'bad_mac' // an entry in the store was not ours
  | 'undecodable' // an entry in the store could not be read, written by another release for one
  | 'store_error'; // the store failed, or was not tried because it is down

export interface StoredEntry<T> {
  readonly value: T;
  readonly version: number;
  /** Milliseconds since the epoch, by the clock of the process that asked the source. */
  readonly confirmedAt: number;
}

export interface StoreAnswer<T> {
  readonly entry?: StoredEntry<T>;
  /** Below this version the store knows everything to be outdated. */
  readonly floor: number;
  /** False if the store could not be asked, or what it holds is not ours. */
  readonly answered: boolean;
}

/** A cache's part of the shared store: sealed entries, tombstones and the messages about them. */
export class CacheStore<T> {
  private readonly sealer: EnvelopeSealer;

  constructor(
    private readonly store: KeyValueStore,
    name: string,
    macKey: Buffer,
    private readonly channel: string,
    private readonly decode: (text: string) => T,
    private readonly count: (event: CacheStoreEvent) => void,
  ) {
    this.sealer = new EnvelopeSealer(name, macKey);
  }

  /** Never throws. A store of this process alone is not asked: memory holds the same. */
  async read(id: string): Promise<StoreAnswer<T>> {
    if (!this.store.shared) return { floor: 0, answered: false };
    if (!this.store.available) return this.failed();
    const key = this.sealer.key(id);
    try {
      const held = await this.store.readVersioned(key);
      if (held === null) return { floor: 0, answered: true };
      if (held.value === null) return { floor: held.version + 1, answered: true };
      return this.open(key, held.version, held.value);
    } catch {
      return this.failed();
    }
  }

  /** Not to be awaited: an answer never waits for the store to take it. */
  write(id: string, version: number, confirmedAt: number, text: string, ttlMs: number): void {
    if (!this.store.shared || !this.store.available) return;
    const key = this.sealer.key(id);
    const sealed = this.sealer.seal(key, version, { confirmedAt, text });
    this.store.writeIfNewer(key, version, sealed, ttlMs).catch(() => this.count('store_error'));
  }

  /** The source no longer has what the store holds in this version. Not to be awaited. */
  bury(id: string, version: number, ttlMs: number): void {
    if (!this.store.shared || !this.store.available) return;
    this.store.writeIfNewer(this.sealer.key(id), version, null, ttlMs).catch(() => this.count('store_error'));
  }

  /**
   * Leaves a tombstone that lets in `version` and what is newer, and then tells everybody: who hears
   * the message finds it, and who does not hear finds it too. Answers whether the store took both.
   */
  async invalidate(id: string, version: number, ttlMs: number): Promise<boolean> {
    if (!this.store.available) {
      this.count('store_error');
      return false;
    }
    // One failing is no reason to leave out the other.
    const buried = !this.store.shared || version === 0
      || (await done(this.store.writeIfNewer(this.sealer.key(id), version - 1, null, ttlMs)));
    const told = await done(this.store.publish(this.channel, this.sealer.announce(id, version)));
    if (!buried || !told) this.count('store_error');
    return buried && told;
  }

  async listen(handler: (id: string, version: number) => void): Promise<void> {
    await this.store.subscribe(this.channel, (message) => {
      const heard = this.sealer.hear(message);
      if (heard) handler(heard.id, heard.version);
    });
  }

  private open(key: string, version: number, sealed: string): StoreAnswer<T> {
    const envelope = this.sealer.open(key, version, sealed);
    if (envelope === null) {
      this.count('bad_mac');
      return { floor: 0, answered: false };
    }
    try {
      const value = this.decode(envelope.text);
      return { entry: { value, version, confirmedAt: envelope.confirmedAt }, floor: version, answered: true };
    } catch {
      this.count('undecodable');
      return { floor: version, answered: true };
    }
  }

  private failed(): StoreAnswer<T> {
    this.count('store_error');
    return { floor: 0, answered: false };
  }
}

function done(work: Promise<unknown>): Promise<boolean> {
  return work.then(() => true, () => false);
}
