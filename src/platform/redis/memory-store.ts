import type { Clock } from '../clock/clock.js';
import { addToWindow, checkRate, gcraPeek, gcraSpend } from './gcra.js';
import {
  checkTtl,
  checkVersion,
  type Claim,
  KeyValueStore,
  type Rate,
  type Spent,
  StoreUnavailableError,
  type Versioned,
} from './key-value.js';
import { Lru } from './lru.js';

interface Expiring {
  readonly expiresAt: number;
}

/**
 * Entries that must not be lost before their time. Full of living entries it refuses the new one, as
 * Redis does under `noeviction`: a nonce that was pushed out could be used again.
 */
class Shelf<V extends Expiring> {
  private readonly entries = new Map<string, V>();
  private hand: Iterator<[string, V]> | undefined;
  /** Before this time a search for dead entries finds none; without it a full shelf would be searched on every write. */
  private barrenUntil = 0;

  constructor(private readonly capacity: number) {}

  get size(): number {
    return this.entries.size;
  }

  read(key: string, now: number): V | undefined {
    const entry = this.entries.get(key);
    if (entry === undefined || entry.expiresAt > now) return entry;
    this.entries.delete(key);
    return undefined;
  }

  /** Throws StoreUnavailableError when full. */
  write(key: string, entry: V, now: number): void {
    this.sweepSome(now);
    if (!this.entries.has(key) && this.entries.size >= this.capacity) this.makeRoom(now);
    if (entry.expiresAt < this.barrenUntil) this.barrenUntil = entry.expiresAt;
    this.entries.set(key, entry);
  }

  delete(key: string): void {
    this.entries.delete(key);
  }

  clear(): void {
    this.entries.clear();
  }

  /** Two entries a write, round and round: what has died is found without ever walking the whole shelf at once. */
  private sweepSome(now: number): void {
    for (let looked = 0; looked < 2; looked += 1) {
      this.hand ??= this.entries.entries();
      const next = this.hand.next();
      if (next.done) {
        this.hand = undefined;
        return;
      }
      if (next.value[1].expiresAt <= now) this.entries.delete(next.value[0]);
    }
  }

  private makeRoom(now: number): void {
    if (now >= this.barrenUntil) {
      let earliest = Number.POSITIVE_INFINITY;
      for (const [key, entry] of this.entries) {
        if (entry.expiresAt <= now) this.entries.delete(key);
        else earliest = Math.min(earliest, entry.expiresAt);
      }
      this.barrenUntil = earliest;
    }
    if (this.entries.size >= this.capacity) throw new StoreUnavailableError('the in-process store is full');
  }
}

export interface MemoryStoreOptions {
  readonly clock: Clock;
  /** For each family of operations. Plain and versioned values and leases are refused beyond it, counters push out the oldest. */
  readonly maxEntries?: number;
}

/**
 * The store of one process: nothing outlives it and no other process sees it. Besides being the
 * stand-in on a laptop it is the fall-back of rate limits, whose loss is harmless, so that counters may
 * be pushed out; whatever must not be lost is refused instead.
 */
export class MemoryStore extends KeyValueStore {
  readonly shared: boolean = false;
  readonly startedAt: number;
  private readonly clock: Clock;
  private readonly versions: Shelf<Versioned & Expiring>;
  private readonly values: Shelf<{ value: string } & Expiring>;
  private readonly leases: Shelf<{ owner: string } & Expiring>;
  private readonly claims: Shelf<{ mark: string; owner: string; leaseEnd: number; done: boolean } & Expiring>;
  private readonly rates: Lru<string, number>;
  private readonly windows: Lru<string, number[]>;
  private readonly handlers = new Map<string, ((message: string) => void)[]>();

  constructor(options: MemoryStoreOptions) {
    super();
    const maxEntries = options.maxEntries ?? 200_000;
    this.clock = options.clock;
    this.startedAt = options.clock.now();
    this.versions = new Shelf(maxEntries);
    this.values = new Shelf(maxEntries);
    this.leases = new Shelf(maxEntries);
    this.claims = new Shelf(maxEntries);
    this.rates = new Lru(maxEntries);
    // A window holds up to 128 times, a rate holds one.
    this.windows = new Lru(Math.max(1, Math.floor(maxEntries / 8)));
  }

  /** Entries held now, the dead ones that were not swept yet included. */
  get size(): number {
    return this.versions.size + this.values.size + this.leases.size + this.claims.size + this.rates.size + this.windows.size;
  }

  override async readVersioned(key: string): Promise<Versioned | null> {
    const entry = this.versions.read(key, this.clock.now());
    return entry ? { version: entry.version, value: entry.value } : null;
  }

  override async writeIfNewer(key: string, version: number, value: string | null, ttlMs: number): Promise<boolean> {
    checkVersion(version);
    const now = this.clock.now();
    const expiresAt = now + checkTtl(ttlMs);
    const stored = this.versions.read(key, now);
    if (stored && stored.version > version) return false;
    if (stored && stored.version === version && stored.value === null && value !== null) return false;
    this.versions.write(key, { version, value, expiresAt }, now);
    return true;
  }

  override async setIfAbsent(key: string, value: string, ttlMs: number): Promise<boolean> {
    const now = this.clock.now();
    const expiresAt = now + checkTtl(ttlMs);
    if (this.values.read(key, now)) return false;
    this.values.write(key, { value, expiresAt }, now);
    return true;
  }

  override async get(key: string): Promise<string | null> {
    return this.values.read(key, this.clock.now())?.value ?? null;
  }

  override async delete(key: string): Promise<void> {
    this.values.delete(key);
  }

  override async spend(key: string, rate: Rate, cost = 1): Promise<Spent> {
    const { tat, ...spent } = gcraSpend(this.rates.get(key) ?? null, this.clock.now(), rate, cost);
    if (tat === null) this.rates.delete(key);
    else this.rates.set(key, tat);
    return spent;
  }

  override async peek(key: string, rate: Rate): Promise<Spent> {
    checkRate(rate, 1);
    return gcraPeek(this.rates.peek(key) ?? null, this.clock.now(), rate);
  }

  override async countInWindow(key: string, windowMs: number): Promise<number> {
    checkTtl(windowMs);
    const times = this.windows.get(key) ?? [];
    const count = addToWindow(times, this.clock.now(), windowMs);
    this.windows.set(key, times);
    return count;
  }

  override async resetWindow(key: string): Promise<void> {
    this.windows.delete(key);
  }

  override async lease(key: string, owner: string, ttlMs: number): Promise<boolean> {
    const now = this.clock.now();
    const expiresAt = now + checkTtl(ttlMs);
    const held = this.leases.read(key, now);
    if (held && held.owner !== owner) return false;
    this.leases.write(key, { owner, expiresAt }, now);
    return true;
  }

  override async release(key: string, owner: string): Promise<void> {
    if (this.leases.read(key, this.clock.now())?.owner === owner) this.leases.delete(key);
  }

  override async claim(key: string, mark: string, owner: string, leaseMs: number, ttlMs: number): Promise<Claim> {
    const now = this.clock.now();
    const expiresAt = now + checkTtl(ttlMs);
    const leaseEnd = now + checkTtl(leaseMs);
    const held = this.claims.read(key, now);
    if (held !== undefined) {
      if (held.mark !== mark) return 'other';
      if (held.done) return 'done';
      if (held.owner !== owner && held.leaseEnd > now) return 'held';
    }
    this.claims.write(key, { mark, owner, leaseEnd, done: false, expiresAt }, now);
    return 'claimed';
  }

  override async settle(key: string, mark: string, ttlMs: number): Promise<void> {
    const now = this.clock.now();
    const expiresAt = now + checkTtl(ttlMs);
    const held = this.claims.read(key, now);
    if (held === undefined || held.mark === mark) this.claims.write(key, { mark, owner: '', leaseEnd: 0, done: true, expiresAt }, now);
  }

  override async publish(channel: string, message: string): Promise<void> {
    // As with Redis, nobody hears inside the call that published.
    await Promise.resolve();
    for (const handler of this.handlers.get(channel) ?? []) {
      try {
        handler(message);
      } catch {
        // A subscriber's fault is its own; the others still hear.
      }
    }
  }

  override async subscribe(channel: string, handler: (message: string) => void): Promise<void> {
    const handlers = this.handlers.get(channel);
    if (handlers) handlers.push(handler);
    else this.handlers.set(channel, [handler]);
  }

  override get subscribed(): boolean {
    return true;
  }

  override onSubscription(_handler: (up: boolean) => void): void {
    // Always subscribed: there is never a change to tell.
  }

  override async ping(): Promise<boolean> {
    return true;
  }

  override async close(): Promise<void> {
    this.versions.clear();
    this.values.clear();
    this.leases.clear();
    this.claims.clear();
    this.rates.clear();
    this.windows.clear();
    this.handlers.clear();
  }
}
