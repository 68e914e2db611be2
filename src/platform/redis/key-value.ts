/** One unit is regained every `intervalMs`; at most `burst` units are saved up. Ten a minute = { intervalMs: 6000, burst: 10 }. */
export interface Rate {
  /** Whole milliseconds, at least 1. */
  readonly intervalMs: number;
  /** Whole units, at least 1. */
  readonly burst: number;
}

export interface Spent {
  readonly allowed: boolean;
  /** Milliseconds until the same cost would be allowed; 0 when it was. */
  readonly retryAfterMs: number;
  /** Whole units left at this moment. */
  readonly remaining: number;
}

export interface Versioned {
  readonly version: number;
  /** `null` is a tombstone: nothing of this version or an older one may be written. */
  readonly value: string | null;
}

/**
 * What a claim found. `claimed`: it is the caller's turn. `held`: the same mark is under way at another owner. `done`: the same mark
 * was settled. `other`: the key stands under another mark.
 */
export type Claim = 'claimed' | 'held' | 'done' | 'other';

/** A window counts exactly up to this many; beyond it the count stands still, so that a key stays small. */
export const WINDOW_CAP = 128;

/**
 * The store cannot answer: unreachable, too slow or full. Callers decide what that means for them; for
 * a nonce it means "not accepted". The message never bears keys, values or credentials.
 */
export class StoreUnavailableError extends Error {
  constructor(reason: string) {
    super(`key-value store unavailable: ${reason}`);
    this.name = 'StoreUnavailableError';
  }
}

/**
 * Short-lived shared state by named operations, each atomic. Two forms stand behind it, one on Redis
 * and one in the process, held to each other by one test suite.
 *
 * Every family of operations (versioned values, plain values, rates, windows, leases) has a name space
 * of its own: the same key in two families never meets. Nothing lives without a time to live. Any
 * operation may reject with `StoreUnavailableError`, and does so quickly.
 */
export abstract class KeyValueStore {
  /** Whether other processes see the same state. */
  abstract readonly shared: boolean;

  /**
   * Since when (ms since the epoch) this store has remembered; 0 where it outlives the process. What an
   * earlier store saw is unknown, so a nonce check must refuse timestamps older than this.
   */
  abstract readonly startedAt: number;

  /** False while a call would fail at once. Only a hint to save the call. */
  get available(): boolean {
    return true;
  }

  abstract readVersioned(key: string): Promise<Versioned | null>;

  /**
   * Stores and answers true if `version` is higher than the stored one. At the same version a value is
   * replaced (by a newer confirmation or by a tombstone), but a tombstone never by a value.
   */
  abstract writeIfNewer(key: string, version: number, value: string | null, ttlMs: number): Promise<boolean>;

  /** Of any number of callers at once exactly one is answered true. */
  abstract setIfAbsent(key: string, value: string, ttlMs: number): Promise<boolean>;

  /** A value stored by `setIfAbsent`. */
  abstract get(key: string): Promise<string | null>;

  /** Forgets a value stored by `setIfAbsent`. */
  abstract delete(key: string): Promise<void>;

  /** Spends `cost` units (GCRA); a refusal spends nothing. A negative cost gives units back and is always allowed. */
  abstract spend(key: string, rate: Rate, cost?: number): Promise<Spent>;

  /** What `spend` of one unit would answer, without spending. */
  abstract peek(key: string, rate: Rate): Promise<Spent>;

  /** Adds one occurrence and answers how many fell into the last `windowMs`, this one included; at most `WINDOW_CAP`. */
  abstract countInWindow(key: string, windowMs: number): Promise<number>;

  abstract resetWindow(key: string): Promise<void>;

  /** True if `owner` now holds the lease: it was free, had run out, or was its own and is renewed. */
  abstract lease(key: string, owner: string, ttlMs: number): Promise<boolean>;

  /** Gives the lease up if `owner` still holds it. */
  abstract release(key: string, owner: string): Promise<void>;

  /**
   * Takes a key for the work that `mark` names, at most once at a time and never again once settled. The key stays for `ttlMs`;
   * unless it was settled, another owner may take it over with the same mark when `leaseMs` are over.
   */
  abstract claim(key: string, mark: string, owner: string, leaseMs: number, ttlMs: number): Promise<Claim>;

  /** The work that `mark` names is done, whoever did it: from now on a claim answers `done` or `other`. */
  abstract settle(key: string, mark: string, ttlMs: number): Promise<void>;

  abstract publish(channel: string, message: string): Promise<void>;

  /**
   * Registers for good. Resolves also while the store is down: the channel is then taken up with the
   * connection, and `subscribed` stays false until it is. A handler that throws harms no other.
   */
  abstract subscribe(channel: string, handler: (message: string) => void): Promise<void>;

  /** Whether every message published now reaches this process. While false, process caches must be bypassed. */
  abstract readonly subscribed: boolean;

  /** Told on every change of `subscribed`. What was published in between is lost. */
  abstract onSubscription(handler: (up: boolean) => void): void;

  abstract ping(): Promise<boolean>;

  abstract close(): Promise<void>;
}

/** Refuses arguments on which the two forms could differ. Throws RangeError: a mistake of the caller's, not of the store. */
export function checkTtl(ttlMs: number): number {
  if (!Number.isSafeInteger(ttlMs) || ttlMs < 1) throw new RangeError(`time to live must be whole milliseconds: ${ttlMs}`);
  return ttlMs;
}

/** As `checkTtl`, for versions: whole numbers from 0. */
export function checkVersion(version: number): number {
  if (!Number.isSafeInteger(version) || version < 0) throw new RangeError(`version must be a whole number: ${version}`);
  return version;
}
