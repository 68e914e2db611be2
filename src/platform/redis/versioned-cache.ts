import type { Clock } from '../clock/clock.js';
import { CacheStore, type CacheStoreEvent, type StoreAnswer, type StoredEntry } from './cache-store.js';
import { Distrust } from './distrust.js';
import { InvalidationOutbox } from './invalidation-outbox.js';
import { checkVersion, type KeyValueStore } from './key-value.js';
import { Lru } from './lru.js';
import { SourceDoubt } from './source-doubt.js';

/** What happened to a look-up or to the store behind it; for metrics. */
export type CacheEvent =
  | CacheStoreEvent
  | 'memory' // answered by the process
  | 'store' // answered by the shared store
  | 'source' // answered by the source
  | 'source_error' // the source failed
  | 'stale' // the source failed, and an entry that is not too old was served
  | 'miss' // the source says: no such thing
  | 'bypass'; // memory had an answer, but an invalidation may have been missed

export interface VersionedCacheOptions<T, P> {
  readonly store: KeyValueStore;
  readonly clock: Clock;
  /** Part of every key; bears the number of the value's shape, so that two releases do not read each other's. */
  readonly name: string;
  /** At least 32 bytes, the same in every process. */
  readonly macKey: Buffer;
  /** Where invalidations are told; caches may share a channel. */
  readonly channel: string;
  /** An entry that the source confirmed longer ago is read anew. 30 s unless told, and never above `staleMs`. */
  readonly freshMs?: number;
  /** Up to this share of `freshMs` is taken off, by id: what was loaded in one moment is not read anew in one moment. */
  readonly freshSpread?: number;
  /** No entry that the source confirmed longer ago is ever served, not even when the source fails. */
  readonly staleMs: number;
  /** For how long "no such thing" is remembered, in this process only. 2 s unless told. */
  readonly missMs?: number;
  /** Entries held by the process. */
  readonly maxEntries?: number;
  /** Plain data → text. */
  readonly encode?: (plain: P) => string;
  /** Text → the value that is served; compiles what is costly once. */
  readonly decode: (text: string) => T;
  /** Asks the source; null where there is no such thing; throws when the source cannot be reached. */
  readonly load: (id: string) => Promise<{ readonly version: number; readonly value: P } | null>;
  /** What a value belongs to, for `noticedAll`. */
  readonly scopeOf?: (value: T) => string;
  readonly onCount?: (event: CacheEvent) => void;
}

export interface Cached<T> {
  readonly value: T | null;
  /** The source could not be asked, and the entry is no longer fresh. */
  readonly stale: boolean;
  /** When the source was last asked about it (ms since the epoch). */
  readonly confirmedAt: number;
}

interface Entry<T> extends StoredEntry<T> {
  /** The stretch of unbroken subscription in which its look-up began. */
  readonly generation: number;
  readonly freshMs: number;
  /** From this age on its successor is fetched; never, once that was tried. */
  aheadMs: number;
}

/** Look-ups of one id that are under way. */
interface Pending<T> {
  running: number;
  /** Below this version an answer is outdated; raised by invalidations heard meanwhile. */
  floor: number;
  /** Counts notices of the source that came meanwhile: an answer from before one is outdated whatever its version. */
  notices: number;
  /** The look-up that a newcomer may wait for; taken away by an invalidation. */
  joinable: Promise<Cached<T>> | null;
  generation: number;
}

/** Ids and scopes of which a notice is remembered one by one. */
const MAX_NOTICES = 10_000;
/** An entry that is asked for after this share of its fresh time is read anew meanwhile. */
const READ_AHEAD = 0.8;
/** A look-up that an invalidation overtook asks again, at most so often. */
const MAX_ATTEMPTS = 4;
/** A confirmation from a clock that is ahead of ours by more than this is not believed. */
const MAX_SKEW_MS = 5_000;

/**
 * Facts by id with a version that every change raises: process memory → shared store → source.
 *
 * No state older than an invalidation that this process has heard is ever served again, whatever the
 * order in which look-ups, write-backs and messages arrive: memory and store take only newer
 * versions, and a look-up that an invalidation overtook asks again. While invalidations cannot be
 * heard, memory is not used. An entry is read anew `freshMs` after its last confirmation by the
 * source however often it is used, so a lost invalidation costs at most that.
 */
export class VersionedCache<T, P = unknown> {
  private readonly shared: CacheStore<T>;
  private readonly memory: Lru<string, Entry<T>>;
  /** Apart from the entries, so that questions about unknown ids push out nobody. */
  private readonly misses: Lru<string, { confirmedAt: number; generation: number }>;
  private readonly pending = new Map<string, Pending<T>>();
  private readonly outbox: InvalidationOutbox;
  private generation = 0;
  /** What the store holds from this time or before may have missed an invalidation that a gap kept from it. */
  private trustedSince = 0;
  /** Of whom the store's word from before a notice of the source is not believed. */
  private readonly distrust: Distrust;
  private readonly source: SourceDoubt;
  private listening: boolean;
  private readonly freshMs: number;
  private readonly missMs: number;
  private readonly encode: (plain: P) => string;
  private readonly count: (event: CacheEvent) => void;

  constructor(private readonly options: VersionedCacheOptions<T, P>) {
    const { store, name, macKey, channel, decode, staleMs } = options;
    const maxEntries = options.maxEntries ?? 50_000;
    this.count = options.onCount ?? (() => undefined);
    this.shared = new CacheStore(store, name, macKey, channel, decode, this.count);
    this.memory = new Lru(maxEntries);
    this.misses = new Lru(Math.min(maxEntries, 10_000));
    this.freshMs = Math.min(options.freshMs ?? 30_000, staleMs);
    this.missMs = options.missMs ?? 2_000;
    this.encode = options.encode ?? ((plain) => JSON.stringify(plain));
    this.listening = !store.shared;
    this.source = new SourceDoubt(options.clock);
    this.distrust = new Distrust(MAX_NOTICES, staleMs + 2 * MAX_SKEW_MS);
    this.outbox = new InvalidationOutbox(options.clock, staleMs, (id, version) => this.tell(id, version));
  }

  /** Begins to listen for invalidations. Before this, and while the subscription is down, memory is bypassed. */
  async start(): Promise<void> {
    this.options.store.onSubscription((up) => this.subscriptionChanged(up));
    await this.shared.listen((id, version) => this.drop(id, version));
    this.generation += 1;
    this.listening = true;
  }

  /** The value if memory has it fresh; no promise, no I/O. `undefined` says nothing about the id: ask `get`. */
  peek(id: string): T | undefined {
    if (!this.hearing) return undefined;
    const entry = this.memory.get(id);
    if (entry === undefined || entry.generation !== this.generation) return undefined;
    const age = this.age(entry);
    if (age >= entry.freshMs) return undefined;
    if (age >= entry.aheadMs) this.readAhead(id, entry);
    this.count('memory');
    return entry.value;
  }

  /** Throws what the source threw if neither it nor an entry within `staleMs` can answer. */
  async get(id: string): Promise<Cached<T>> {
    return this.fromMemory(id) ?? this.lookUp(id);
  }

  /**
   * To be called after the change was committed, with the version that it gave: from here on nothing
   * below it is served by this process, nor by any other that can be reached. Answers whether the
   * others were told; if not, it is tried again for as long as an old entry could matter.
   */
  async invalidate(id: string, version: number): Promise<boolean> {
    this.drop(id, checkVersion(version));
    if (await this.tell(id, version)) return true;
    this.outbox.add(id, version);
    return false;
  }

  /**
   * The source itself says that `id` was changed, by whomever: the one who did it may have lost the store, which then still holds
   * the old state. So neither memory nor the store is believed about it until the source was asked.
   */
  noticed(id: string): void {
    this.memory.delete(id);
    this.misses.delete(id);
    this.overtake(this.pending.get(id));
    this.distrust.note(id, this.options.clock.now());
  }

  /** As `noticed` for everything of a scope. */
  noticedAll(scope: string): void {
    const { scopeOf } = this.options;
    if (scopeOf === undefined) throw new Error(`${this.options.name}: no scopes are known`);
    this.memory.deleteWhere(({ value }) => scopeOf(value) === scope);
    this.misses.clear();
    for (const pending of this.pending.values()) this.overtake(pending);
    this.distrust.note(scopeName(scope), this.options.clock.now());
  }

  /** Notices may have been missed until now: what memory and store hold is asked for anew. */
  noticesMissed(): void {
    this.generation += 1;
    this.trustedSince = this.options.clock.now();
  }

  /** Whether every invalidation reaches this process. */
  private get hearing(): boolean {
    return this.listening && this.options.store.subscribed;
  }

  private fromMemory(id: string): Cached<T> | undefined {
    const entry = this.memory.get(id);
    const known = entry ?? this.misses.peek(id);
    if (known === undefined) return undefined;
    if (!this.hearing) {
      this.count('bypass');
      return undefined;
    }
    if (!this.isFresh(known, entry ? entry.freshMs : this.missMs)) return undefined;
    if (entry && this.age(entry) >= entry.aheadMs) this.readAhead(id, entry);
    this.count(entry ? 'memory' : 'miss');
    return { value: entry ? entry.value : null, stale: false, confirmedAt: known.confirmedAt };
  }

  /** What is asked for often is read anew before it has to be: nobody waits for the source. Tried once an entry. */
  private readAhead(id: string, entry: Entry<T>): void {
    entry.aheadMs = Number.POSITIVE_INFINITY;
    this.lookUp(id, READ_AHEAD).catch(() => undefined);
  }

  private isFresh(known: { confirmedAt: number; generation: number }, forMs: number): boolean {
    return known.generation === this.generation && this.age(known) < forMs;
  }

  private age(known: { confirmedAt: number }): number {
    const age = this.options.clock.now() - known.confirmedAt;
    return age < -MAX_SKEW_MS ? Number.POSITIVE_INFINITY : age;
  }

  /** @param share of its fresh time after which an entry of the store counts as old */
  private lookUp(id: string, share = 1): Promise<Cached<T>> {
    const pending = this.pending.get(id) ?? { running: 0, floor: 0, notices: 0, joinable: null, generation: this.generation };
    // What began before a gap in the subscription, or in one, may not know of an invalidation that came first.
    const joinable = pending.generation === this.generation && this.hearing ? pending.joinable : null;
    if (joinable !== null) return joinable;
    this.pending.set(id, pending);
    pending.running += 1;
    const looking = this.ask(id, pending, share).finally(() => {
      pending.running -= 1;
      if (pending.joinable === looking) pending.joinable = null;
      if (pending.running === 0) this.pending.delete(id);
    });
    pending.generation = this.generation;
    pending.joinable = looking;
    return looking;
  }

  private async ask(id: string, pending: Pending<T>, share: number): Promise<Cached<T>> {
    const { generation } = this;
    const freshMs = this.freshMsOf(id);
    const stored = await this.stored(id);
    if (stored.entry && stored.entry.version >= pending.floor && this.isTrusted(stored.entry, freshMs * share)) {
      this.count('store');
      const { value, version, confirmedAt } = stored.entry;
      return answer(this.remember(id, { value, version, confirmedAt, generation, freshMs, aheadMs: READ_AHEAD * freshMs }), false);
    }
    if (this.source.doubted) {
      const last = this.lastResort(id, stored, pending);
      if (last) {
        this.source.tryAside(() => this.options.load(id));
        return answer(last, true);
      }
    }
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
      const { floor, notices } = pending;
      const confirmedAt = this.options.clock.now();
      let found: { readonly version: number; readonly value: P } | null;
      try {
        found = await this.options.load(id);
      } catch (error) {
        return this.withoutSource(id, stored, pending, error);
      }
      this.source.answered();
      if (pending.notices !== notices) continue;
      if (found === null) {
        // "No such thing" has no version: it counts if nothing was heard while it was asked for.
        if (pending.floor !== floor) continue;
        this.memory.delete(id);
        if (stored.entry) this.shared.bury(id, stored.entry.version, this.tombstoneMs);
        this.misses.set(own(id), { confirmedAt, generation });
        this.count('miss');
        return { value: null, stale: false, confirmedAt };
      }
      if (found.version < pending.floor) continue;
      const text = this.encode(found.value);
      const entry = { value: this.options.decode(text), version: found.version, confirmedAt, generation, freshMs, aheadMs: READ_AHEAD * freshMs };
      this.shared.write(id, entry.version, confirmedAt, text, Math.max(1, this.options.staleMs));
      this.count('source');
      return answer(this.remember(id, entry), false);
    }
    throw new Error(`${this.options.name}: the source keeps answering with an outdated version`);
  }

  private async stored(id: string): Promise<StoreAnswer<T>> {
    return this.believable(id, await this.shared.read(id));
  }

  /** Without an entry from before a notice. Whose clock confirmed it is not known, hence the allowance. */
  private believable(id: string, answered: StoreAnswer<T>): StoreAnswer<T> {
    const { entry, floor } = answered;
    if (entry === undefined) return answered;
    const confirmedAt = entry.confirmedAt - MAX_SKEW_MS;
    const scope = this.options.scopeOf?.(entry.value);
    const outdated = this.distrust.covers(id, confirmedAt) || (scope !== undefined && this.distrust.covers(scopeName(scope), confirmedAt));
    return outdated ? { floor, answered: answered.answered } : answered;
  }

  /** The same in every process, so that none takes from the store what another would already read anew. */
  private freshMsOf(id: string): number {
    const place = ((id.charCodeAt(id.length - 1) * 31 + id.charCodeAt(id.length - 2)) & 63) / 64;
    return this.freshMs * (1 - (this.options.freshSpread ?? 0) * place);
  }

  private isTrusted(stored: StoredEntry<T>, freshMs: number): boolean {
    return this.age(stored) < freshMs && stored.confirmedAt > this.trustedSince;
  }

  private async withoutSource(id: string, before: StoreAnswer<T>, pending: Pending<T>, error: unknown): Promise<Cached<T>> {
    this.count('source_error');
    this.source.failed();
    // The source may have taken long to fail, and who does not hear has to look what was buried meanwhile.
    const stored = this.hearing ? this.believable(id, before) : await this.stored(id);
    const last = this.lastResort(id, stored, pending);
    if (last) return answer(last, true);
    throw error;
  }

  /**
   * Memory serves for a failed source only if no invalidation can have been missed since: it was heard
   * throughout, or the store, which keeps the tombstones, answered and does not contradict. With the
   * store gone too there is no answer.
   */
  private lastResort(id: string, stored: StoreAnswer<T>, pending: Pending<T>): StoredEntry<T> | undefined {
    const held = this.memory.peek(id);
    const heard = this.hearing && held?.generation === this.generation;
    const candidates = [heard || stored.answered ? held : undefined, stored.entry];
    const floor = Math.max(pending.floor, stored.floor);
    const usable = candidates.filter(
      (entry) => entry !== undefined && entry.version >= floor && this.age(entry) < this.options.staleMs,
    );
    const best = usable.sort((a, b) => b!.version - a!.version || b!.confirmedAt - a!.confirmedAt)[0];
    if (best) this.count('stale');
    return best;
  }

  /** Keeps the entry, unless memory has one that is newer and was confirmed later: then that is the answer. */
  private remember(id: string, entry: Entry<T>): Entry<T> {
    const held = this.memory.peek(id);
    if (held && held.version > entry.version && held.confirmedAt >= entry.confirmedAt) return held;
    this.misses.delete(id);
    this.memory.set(own(id), entry);
    return entry;
  }

  private drop(id: string, version: number): void {
    const entry = this.memory.peek(id);
    if (entry && entry.version < version) this.memory.delete(id);
    this.misses.delete(id);
    const pending = this.pending.get(id);
    if (pending) {
      pending.floor = Math.max(pending.floor, version);
      pending.joinable = null;
    }
  }

  private overtake(pending: Pending<T> | undefined): void {
    if (pending === undefined) return;
    pending.notices += 1;
    pending.joinable = null;
  }

  private tell(id: string, version: number): Promise<boolean> {
    return this.shared.invalidate(id, version, this.tombstoneMs);
  }

  /** A tombstone outlives every entry that a look-up begun before it could still bring. */
  private get tombstoneMs(): number {
    return this.options.staleMs + 60_000;
  }

  private subscriptionChanged(up: boolean): void {
    this.noticesMissed();
    if (up) void this.outbox.flush();
  }
}

function answer<T>(entry: StoredEntry<T>, stale: boolean): Cached<T> {
  return { value: entry.value, stale, confirmedAt: entry.confirmedAt };
}

/** No id: those bear no blank. */
function scopeName(scope: string): string {
  return `scope ${scope}`;
}

/** A copy: an id that was cut out of a request would keep all of the request in memory. */
function own(id: string): string {
  return Buffer.from(id, 'utf16le').toString('utf16le');
}
