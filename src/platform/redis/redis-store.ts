import { Redis, type RedisOptions } from 'ioredis';
import type { Clock } from '../clock/clock.js';
import { checkRate } from './gcra.js';
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
import { makeStringsFast } from './fast-strings.js';
import { describe } from './redis-error.js';
import { RedisSubscriber } from './redis-subscriber.js';
import { defineScripts, type ScriptCommands } from './scripts.js';

// ioredis is loaded.
makeStringsFast();

export interface RedisStoreEvent {
  readonly connection: 'commands' | 'subscription';
  readonly up: boolean;
  /** Why it went down, as far as known; bears no credential. */
  readonly reason?: string;
}

export interface RedisStoreOptions {
  /** `redis://` or `rediss://`. */
  readonly url: string;
  /** Put before every key and channel. */
  readonly prefix?: string;
  /** After this long without an answer a command counts as failed. */
  readonly commandTimeoutMs?: number;
  /** How often both connections are tried; bounds for how long a silently broken one goes unnoticed. */
  readonly heartbeatMs?: number;
  /** Only for tests: the scripts then take its time in place of that of Redis. */
  readonly clock?: Clock;
  /** Told once per change of state, never per failed command. */
  readonly onEvent?: (event: RedisStoreEvent) => void;
}

export interface EvictionReport {
  /** Redis' `maxmemory-policy`; `unknown` where the server will not tell, `unreachable` where it does not answer. */
  readonly policy: string;
  /** What an operator should read; null when all is well. */
  readonly problem: string | null;
}

/** What the script answers, by number. */
const CLAIMS: readonly Claim[] = ['claimed', 'held', 'done', 'other'];
/** Failures in a row after which commands are no longer tried until the heartbeat has got an answer. */
const TRIP_AFTER = 3;

/**
 * The shared store. A dead Redis costs its callers nothing: commands fail at once while the connection
 * is down, and after three time-outs in a row until a heartbeat is answered. Both connections come back
 * by themselves, for ever. Commands are never queued or sent twice, so a failed one may or may not
 * have been done.
 */
export class RedisStore extends KeyValueStore {
  readonly shared = true;
  readonly startedAt = 0;
  private readonly redis: Redis & ScriptCommands;
  private readonly subscriber: RedisSubscriber;
  private readonly prefix: string;
  private readonly clock: Clock | undefined;
  private readonly onEvent: (event: RedisStoreEvent) => void;
  private readonly heartbeat: NodeJS.Timeout;
  private readonly opening: Promise<boolean>;
  private failures = 0;
  private tripped = false;
  private beating = false;
  private closing = false;
  private announcedUp: boolean | undefined;
  private lastError: string | undefined;

  constructor(options: RedisStoreOptions) {
    super();
    this.prefix = options.prefix ?? 'portcullis:';
    this.clock = options.clock;
    this.onEvent = options.onEvent ?? (() => undefined);
    const connection: RedisOptions = {
      lazyConnect: true,
      commandTimeout: options.commandTimeoutMs ?? 400,
      connectTimeout: 2_000,
      disconnectTimeout: 500,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      autoResubscribe: false,
      maxRetriesPerRequest: 0,
      retryStrategy: (attempt) => Math.min(50 * 2 ** Math.min(attempt, 6), 2_000) * (0.75 + Math.random() / 2),
      // A replica that was promoted elsewhere answers READONLY until one connects anew.
      reconnectOnError: (error) => error.message.startsWith('READONLY'),
    };
    this.redis = defineScripts(new Redis(options.url, connection));
    this.redis.on('error', (error: Error) => (this.lastError = describe(error)));
    this.redis.on('ready', () => this.recovered());
    this.redis.on('close', () => this.announce(false));
    this.redis.on('end', () => this.reopen());
    const database = this.redis.options.db ?? 0;
    this.subscriber = new RedisSubscriber(
      new Redis(options.url, connection),
      // Redis' channels know no database numbers; keys do.
      `${this.prefix}${database}:`,
      (up, reason) => this.onEvent({ connection: 'subscription', up, reason }),
    );
    this.heartbeat = setInterval(() => void this.beat(), options.heartbeatMs ?? 1_000);
    this.heartbeat.unref();
    this.opening = Promise.allSettled([this.redis.connect(), this.subscriber.connect()]).then(
      ([commands]) => commands.status === 'fulfilled',
    );
  }

  /** Waits for the first attempt, begun when the store was made. Answers whether Redis is there; if not, it goes on trying. */
  connect(): Promise<boolean> {
    return this.opening;
  }

  override get available(): boolean {
    return !this.tripped && this.redis.status === 'ready';
  }

  override get subscribed(): boolean {
    return this.subscriber.subscribed;
  }

  override async readVersioned(key: string): Promise<Versioned | null> {
    const stored = await this.run(() => this.redis.get(this.key('v', key)));
    if (stored === null) return null;
    const split = stored.indexOf(':');
    const version = Number(stored.slice(0, split));
    if (split < 1 || !Number.isSafeInteger(version)) throw new StoreUnavailableError('a stored value is not of our form');
    return { version, value: stored[split + 1] === 'v' ? stored.slice(split + 2) : null };
  }

  override async writeIfNewer(key: string, version: number, value: string | null, ttlMs: number): Promise<boolean> {
    checkVersion(version);
    checkTtl(ttlMs);
    const kind = value === null ? 't' : 'v';
    return (await this.run(() => this.redis.pcWriteIfNewer(this.key('v', key), version, kind, value ?? '', ttlMs))) === 1;
  }

  override async setIfAbsent(key: string, value: string, ttlMs: number): Promise<boolean> {
    checkTtl(ttlMs);
    return (await this.run(() => this.redis.set(this.key('s', key), value, 'PX', ttlMs, 'NX'))) === 'OK';
  }

  override async get(key: string): Promise<string | null> {
    return this.run(() => this.redis.get(this.key('s', key)));
  }

  override async delete(key: string): Promise<void> {
    await this.run(() => this.redis.del(this.key('s', key)));
  }

  override async spend(key: string, rate: Rate, cost = 1): Promise<Spent> {
    return this.gcra(key, rate, cost, '1');
  }

  override async peek(key: string, rate: Rate): Promise<Spent> {
    return this.gcra(key, rate, 1, '0');
  }

  override async countInWindow(key: string, windowMs: number): Promise<number> {
    checkTtl(windowMs);
    return this.run(() => this.redis.pcCountInWindow(this.key('w', key), windowMs, this.now()));
  }

  override async resetWindow(key: string): Promise<void> {
    await this.run(() => this.redis.del(this.key('w', key)));
  }

  override async lease(key: string, owner: string, ttlMs: number): Promise<boolean> {
    checkTtl(ttlMs);
    return (await this.run(() => this.redis.pcLease(this.key('l', key), owner, ttlMs))) === 1;
  }

  override async release(key: string, owner: string): Promise<void> {
    await this.run(() => this.redis.pcRelease(this.key('l', key), owner));
  }

  override async claim(key: string, mark: string, owner: string, leaseMs: number, ttlMs: number): Promise<Claim> {
    checkTtl(leaseMs);
    checkTtl(ttlMs);
    const answer = await this.run(() => this.redis.pcClaim(this.key('c', key), mark, owner, leaseMs, ttlMs, this.now()));
    return CLAIMS[answer] ?? 'other';
  }

  override async settle(key: string, mark: string, ttlMs: number): Promise<void> {
    checkTtl(ttlMs);
    await this.run(() => this.redis.pcSettle(this.key('c', key), mark, ttlMs));
  }

  override async publish(channel: string, message: string): Promise<void> {
    await this.run(() => this.redis.publish(this.subscriber.channelName(channel), message));
  }

  override async subscribe(channel: string, handler: (message: string) => void): Promise<void> {
    await this.subscriber.subscribe(channel, handler);
  }

  override onSubscription(handler: (up: boolean) => void): void {
    this.subscriber.onChange(handler);
  }

  override async ping(): Promise<boolean> {
    try {
      await this.redis.ping();
      return true;
    } catch {
      return false;
    }
  }

  /**
   * Waits for the first attempt to connect. Under any other policy than `noeviction` Redis may drop a nonce before its
   * time, and a replay would pass.
   */
  async checkEviction(): Promise<EvictionReport> {
    const policy = await this.evictionPolicy();
    if (policy === 'noeviction') return { policy, problem: null };
    if (policy === 'unreachable') return { policy, problem: 'Redis does not answer: its maxmemory-policy was not checked' };
    if (policy === 'unknown') {
      return { policy, problem: 'Redis does not tell its maxmemory-policy: make sure that it is noeviction' };
    }
    return { policy, problem: `Redis has maxmemory-policy ${policy}: it must be noeviction, or a seen nonce may be forgotten` };
  }

  override async close(): Promise<void> {
    this.closing = true;
    clearInterval(this.heartbeat);
    this.subscriber.close();
    this.redis.disconnect();
  }

  private async evictionPolicy(): Promise<string> {
    await this.opening;
    if (!(await this.ping())) return 'unreachable';
    try {
      const answer: unknown = await this.redis.config('GET', 'maxmemory-policy');
      // A list of name and value, or a map of them, by the version of the protocol.
      const value: unknown = Array.isArray(answer) ? answer[1] : (answer as Record<string, unknown> | null)?.['maxmemory-policy'];
      if (typeof value === 'string') return value;
    } catch {
      // Managed services forbid CONFIG; INFO tells the same.
    }
    try {
      return /^maxmemory_policy:(\S+)/m.exec(await this.redis.info('memory'))?.[1] ?? 'unknown';
    } catch {
      return 'unknown';
    }
  }

  private async gcra(key: string, rate: Rate, cost: number, keep: '0' | '1'): Promise<Spent> {
    checkRate(rate, cost);
    const [allowed, retryAfterMs, remaining] = await this.run(() =>
      this.redis.pcGcra(this.key('g', key), rate.intervalMs, rate.burst, cost, keep, this.now()),
    );
    return { allowed: allowed === 1, retryAfterMs, remaining };
  }

  private now(): number | '' {
    return this.clock?.now() ?? '';
  }

  private key(family: 'v' | 's' | 'g' | 'w' | 'l' | 'c', key: string): string {
    return `${this.prefix}${family}:${key}`;
  }

  /** One command, or at once an error that says nothing of keys and values (the client's own errors carry them). */
  private async run<T>(command: () => Promise<T>): Promise<T> {
    if (this.tripped) throw new StoreUnavailableError('Redis has stopped to answer');
    try {
      const answer = await command();
      this.failures = 0;
      return answer;
    } catch (error) {
      this.failed(error);
      throw new StoreUnavailableError(describe(error));
    }
  }

  private failed(error: unknown): void {
    if (!isTimeout(error)) return;
    this.failures += 1;
    if (this.failures < TRIP_AFTER || this.tripped) return;
    this.tripped = true;
    this.lastError = describe(error);
    this.announce(false);
    // It may have been this process that stood still: then the answer comes at once.
    void this.beat();
  }

  private recovered(): void {
    this.failures = 0;
    this.tripped = false;
    this.announce(true);
  }

  /** Tries both connections. One that says it is open and does not answer is dropped and opened anew. */
  private async beat(): Promise<void> {
    if (this.beating || this.closing) return;
    this.beating = true;
    try {
      await Promise.all([this.subscriber.beat(), this.beatCommands()]);
    } finally {
      this.beating = false;
    }
  }

  private async beatCommands(): Promise<void> {
    if (this.redis.status !== 'ready') return;
    // Asked twice: where this process itself stood still, its timer fires before the answer is read.
    if ((await this.ping()) || (await this.ping())) {
      this.recovered();
      return;
    }
    this.tripped = true;
    this.announce(false);
    if (this.redis.status === 'ready') this.redis.disconnect(true);
  }

  private announce(up: boolean): void {
    if (this.announcedUp === up || this.closing) return;
    this.announcedUp = up;
    this.onEvent(up ? { connection: 'commands', up } : { connection: 'commands', up, reason: this.lastError });
  }

  /** The client gives up for good in a few corners (a connection dropped while it was being made). We do not. */
  private reopen(): void {
    if (this.closing) return;
    setTimeout(() => {
      if (!this.closing && this.redis.status === 'end') this.redis.connect().catch(() => undefined);
    }, 1_000).unref();
  }
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.message === 'Command timed out';
}

