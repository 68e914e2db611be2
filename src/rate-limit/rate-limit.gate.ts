import { hash as digest } from 'node:crypto';
import { Clock } from '../platform/clock/clock.js';
import { gcraSpend } from '../platform/redis/gcra.js';
import { KeyValueStore } from '../platform/redis/key-value.js';
import { Lru } from '../platform/redis/lru.js';
import { addressGroup } from './address.js';
import { FailureWindow } from './failure-window.js';

/** A refused CONNECT, ACL question or message. */
export interface Refusal {
  /** Whom the request says it is: id of a device or service account, without any clientid suffix. Unproven text. */
  readonly claimed: string | null;
  /** Whom a valid proof in it names. */
  readonly proven: string | null;
  readonly address: string;
  /** The refusal shows that somebody else's valid proof was used, or used in the wrong place. */
  readonly possession: boolean;
  /** Nobody failed but we: a store could not be asked. It counts against nobody. */
  readonly ours?: boolean;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

export interface RefusalCount {
  /** So many came from here against this identity that audit rows and metric detail may be shed. Never a reason to refuse. */
  readonly sheddable: boolean;
  /** The device to be suspended now; told once when the threshold is crossed. */
  readonly suspend: string | null;
}

export interface RateLimitGateOptions {
  readonly policy: 'possession' | 'strict';
  /** Failures within `windowMs` that suspend. */
  readonly threshold?: number;
  readonly windowMs?: number;
  /** Refusals of one address against one identity within `windowMs` beyond which the rest is sheddable. */
  readonly shedAfter?: number;
  /** Subjects and (address, identity) pairs held, each. */
  readonly maxEntries?: number;
}

const RESET_CHANNEL = 'rate-limit.reset';
/** What one process adds to the shared counts at most: a flood then cannot fill the store, whose keys live for a window. */
const SHARED_BUDGET = { intervalMs: 5, burst: 200 };

/**
 * Counts refusals at the broker's door, in the process and synchronously. An allow never comes here.
 *
 * Policy `possession`: only failures that prove possession count, against the identity that the proof
 * names; a wrong secret names nobody and suspends nobody. Policy `strict`: everything counts against
 * the identity claimed. What is our own failure counts nowhere. A service account is never suspended. Where the store is shared, the count is
 * kept there as well, afterwards, so that failures spread over several processes suspend too.
 */
export class RateLimitGate {
  private readonly failures: FailureWindow;
  /** (address, identity) → refusals in the current window; a window begins with the first. */
  private readonly sprays: Lru<string, { since: number; count: number }>;
  private readonly options: Required<RateLimitGateOptions>;
  private late: (subject: string) => void = () => undefined;
  private sharedTat: number | null = null;
  /** A shared count that was under way during a reset says nothing. */
  private resets = 0;
  private readonly resetting = new Set<string>();

  constructor(
    private readonly store: KeyValueStore,
    private readonly clock: Clock,
    options: RateLimitGateOptions,
  ) {
    this.options = { threshold: 10, windowMs: 300_000, shedAfter: 20, maxEntries: 50_000, ...options };
    this.failures = new FailureWindow(this.options.threshold, this.options.windowMs, this.options.maxEntries);
    this.sprays = new Lru(this.options.maxEntries);
  }

  /** Entries held in memory. */
  get size(): number {
    return this.failures.size + this.sprays.size;
  }

  /** Listens for resets ordered elsewhere. */
  async start(): Promise<void> {
    await this.store.subscribe(RESET_CHANNEL, (key) => this.forget(key));
  }

  /** Whom to tell when only the shared count crosses the threshold. Suspending twice must be harmless: two processes may tell. */
  suspendLater(handler: (subject: string) => void): void {
    this.late = handler;
  }

  count(refusal: Refusal): RefusalCount {
    const sprayed = this.spray(refusal);
    const subject = this.suspect(refusal);
    if (subject === null) return { sheddable: sprayed, suspend: null };
    const key = hash(subject);
    const suspend = this.failures.add(key, refusal.at) ? subject : null;
    if (this.store.shared) this.countShared(subject, key, refusal.at);
    // What leads to a suspension is kept in full; only the flood after it is not.
    const sheddable = sprayed && suspend === null && (this.options.policy === 'strict' || this.failures.isAbove(key));
    return { sheddable, suspend };
  }

  /**
   * Forgets the failures of a device, here and in every process: an admin has reactivated it. Never
   * throws; answers false if the shared count could not be reached and stands until its window ends.
   */
  async reset(subject: string): Promise<boolean> {
    const key = hash(subject);
    this.forget(key);
    this.resetting.add(key);
    const done = await Promise.allSettled([
      this.store.resetWindow(windowKey(key)),
      this.store.publish(RESET_CHANNEL, key),
    ]);
    this.resets += 1;
    this.resetting.delete(key);
    return done.every(({ status }) => status === 'fulfilled');
  }

  private forget(key: string): void {
    this.failures.forget(key);
    this.resets += 1;
  }

  /** Against whom the refusal counts towards a suspension. */
  private suspect(refusal: Refusal): string | null {
    if (refusal.ours === true) return null;
    const strict = this.options.policy === 'strict';
    const subject = strict ? refusal.claimed : refusal.possession ? refusal.proven : null;
    if (subject === null || subject.startsWith('svc:')) return null;
    // Claimed text may be of any length; ids are not.
    return subject.length <= 64 ? subject : null;
  }

  private spray(refusal: Refusal): boolean {
    const key = hash(`${addressGroup(refusal.address)}\n${refusal.claimed ?? ''}`);
    const known = this.sprays.get(key);
    const running = known !== undefined && refusal.at - known.since < this.options.windowMs;
    const spray = running ? known : { since: refusal.at, count: 0 };
    spray.count += 1;
    this.sprays.set(key, spray);
    return spray.count > this.options.shedAfter;
  }

  private countShared(subject: string, key: string, at: number): void {
    const budget = gcraSpend(this.sharedTat, this.clock.now(), SHARED_BUDGET);
    this.sharedTat = budget.tat;
    if (!budget.allowed || !this.store.available) return;
    const { resets } = this;
    this.store.countInWindow(windowKey(key), this.options.windowMs).then(
      (count) => {
        if (count < this.options.threshold || resets !== this.resets || this.resetting.has(key)) return;
        if (this.failures.markAbove(key, at)) this.late(subject);
      },
      () => undefined, // The count of this process stands.
    );
  }
}

function windowKey(key: string): string {
  return `refusals:${key}`;
}

/** Keys are hashes: short, and no piece of a request that would keep all of it in memory. */
function hash(text: string): string {
  return digest('sha256', text, 'base64url');
}
