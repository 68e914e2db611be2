import { createPublicKey } from 'node:crypto';
import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { Clock } from '../platform/clock/clock.js';
import { CONFIG, type Config } from '../platform/config/config.js';
import { Pools } from '../platform/database/pools.js';
import { KeyValueStore } from '../platform/redis/key-value.js';
import { logger } from '../platform/telemetry/logger.js';
import { HS256_KID, hs256Key, type TokenKey } from './device-token.js';

/** Public half of an ES256 key (RFC 7518 §6.2.1), with what a key set adds (RFC 7517 §4). */
export interface PublicJwk {
  readonly kty: 'EC';
  readonly crv: 'P-256';
  readonly x: string;
  readonly y: string;
  readonly kid: string;
  readonly alg: 'ES256';
  readonly use: 'sig';
}

type Eventually<T> = T | Promise<T>;

interface RingKey extends TokenKey {
  readonly jwk: PublicJwk;
  /** Milliseconds; `null`: it still signs, or will. */
  readonly verifiesUntil: number | null;
}

interface RingRow {
  kid: string;
  public_jwk: { x: string; y: string };
  verifies_until: Date | null;
}

/** Where a change of signing keys is told; the message has no contents, each process reads Postgres. */
export const KEYS_CHANNEL = 'portcullis:signing-keys';
/** Keys are read anew after this long, in the background; after the other, before the answer. */
const SOFT_AGE_MS = 15_000;
const HARD_AGE_MS = 30_000;
/** Made-up key ids cannot make us ask Postgres more often. */
const MISS_PAUSE_MS = 250;
/** After a failure Postgres is left alone this long. */
const FAILURE_PAUSE_MS = 500;
/** So long after a failure nobody whose key is known waits for Postgres. */
const DOUBT_MS = 5_000;
/** RFC 7638 thumbprint: no other text is ever looked up. */
const THUMBPRINT = /^[A-Za-z0-9_-]{43}$/;

/**
 * Keys that verify device tokens, by `kid`, from process memory. Changes are told by message; one that was lost shows after 30 s.
 * While Postgres is gone the last known keys stay: how long they matter is bounded by the facts' own staleness.
 */
@Injectable()
export class KeyRing implements OnModuleInit {
  private keys: ReadonlyMap<string, RingKey> = new Map();
  private loadedAt = Number.NEGATIVE_INFINITY;
  private pausedUntil = Number.NEGATIVE_INFINITY;
  private doubtedUntil = Number.NEGATIVE_INFINITY;
  private running: Promise<void> | null = null;
  private following: Promise<void> | null = null;
  private readonly symmetric: TokenKey | null;

  constructor(
    @Inject(CONFIG) { deviceTokens }: Config,
    private readonly clock: Clock,
    private readonly store: KeyValueStore,
    private readonly pools: Pools,
  ) {
    this.symmetric = deviceTokens.hs256Secret === undefined ? null : hs256Key(deviceTokens.hs256Secret);
  }

  async onModuleInit(): Promise<void> {
    await this.store.subscribe(KEYS_CHANNEL, () => this.reloadAside());
    // Warm from the start; where Postgres is not there yet, the first token asks again.
    await this.reload().catch(() => undefined);
  }

  /**
   * The key with this id if it verifies at `now` (ms), `null` if there is none. A promise only where Postgres has to be asked.
   * @throws (rejects) when it cannot be asked and nothing is known.
   */
  find(kid: string, now: number): Eventually<TokenKey | null> {
    const known = this.peek(kid, now);
    if (known !== undefined) return known;
    return this.lookUp(kid, now);
  }

  /** As `find`, from what is at hand and fresh; `undefined` says nothing. */
  peek(kid: string, now: number): TokenKey | null | undefined {
    if (kid === HS256_KID) return this.symmetric;
    if (!THUMBPRINT.test(kid)) return null;
    const age = now - this.loadedAt;
    if (!(age >= 0 && age < HARD_AGE_MS)) return undefined;
    if (age >= SOFT_AGE_MS) this.reloadAside();
    const key = this.keys.get(kid);
    if (key === undefined) return age < MISS_PAUSE_MS ? null : undefined;
    return verifiesAt(key, now) ? key : null;
  }

  /** As `peek`, however old: to tell whom a refused token names, never to let anybody in. */
  lastKnown(kid: string, now: number): TokenKey | null {
    const fresh = this.peek(kid, now);
    if (fresh !== undefined) return fresh;
    this.reloadAside();
    const key = this.keys.get(kid);
    return key !== undefined && verifiesAt(key, now) ? key : null;
  }

  /** Every key that signs, will sign, or still verifies; never a symmetric one. For the public key set. */
  async published(now: number): Promise<PublicJwk[]> {
    if (!(now - this.loadedAt >= 0 && now - this.loadedAt < HARD_AGE_MS)) await this.reload();
    return [...this.keys.values()].filter((key) => verifiesAt(key, now)).map(({ jwk }) => jwk);
  }

  /** Reads the keys anew; what was committed before the call is in. */
  reload(): Promise<void> {
    if (this.running === null) {
      this.running = this.load().finally(() => (this.running = null));
      return this.running;
    }
    // What is under way may have begun before the change: one more follows it.
    this.following ??= this.running.catch(() => undefined).then(() => {
      this.following = null;
      return this.reload();
    });
    return this.following;
  }

  private async lookUp(kid: string, now: number): Promise<TokenKey | null> {
    const known = this.keys.get(kid);
    if (known !== undefined && now < this.doubtedUntil) {
      if (now >= this.pausedUntil && this.running === null) this.reloadAside();
      return verifiesAt(known, now) ? known : null;
    }
    let failure: unknown = null;
    if (now < this.pausedUntil) failure = new Error('Postgres did not answer a moment ago');
    else await this.reload().catch((error: unknown) => (failure = error));
    const key = this.keys.get(kid);
    if (key !== undefined) return verifiesAt(key, now) ? key : null;
    if (failure !== null) throw new Error('the signing keys cannot be read', { cause: failure });
    return null;
  }

  private reloadAside(): void {
    if (this.running !== null && this.following !== null) return;
    this.reload().catch(() => undefined);
  }

  private async load(): Promise<void> {
    const startedAt = this.clock.now();
    try {
      const { rows } = await this.pools.gate.query<RingRow>(
        `SELECT kid, public_jwk, verifies_until FROM signing_keys
          WHERE verifies_until IS NULL OR verifies_until > $1 ORDER BY signs_from, kid`,
        [new Date(startedAt)],
      );
      this.keys = new Map(rows.map((row) => [row.kid, this.ringKey(row)]));
      this.loadedAt = startedAt;
      this.doubtedUntil = Number.NEGATIVE_INFINITY;
    } catch (error) {
      const failedAt = this.clock.now();
      this.pausedUntil = failedAt + FAILURE_PAUSE_MS;
      this.doubtedUntil = failedAt + DOUBT_MS;
      logger.warn({ err: error }, 'the signing keys could not be read');
      throw error;
    }
  }

  private ringKey({ kid, public_jwk: { x, y }, verifies_until: until }: RingRow): RingKey {
    const jwk: PublicJwk = { kty: 'EC', crv: 'P-256', x, y, kid, alg: 'ES256', use: 'sig' };
    const key = this.keys.get(kid)?.key ?? createPublicKey({ key: { kty: 'EC', crv: 'P-256', x, y }, format: 'jwk' });
    return { kid, algorithm: 'ES256', key, jwk, verifiesUntil: until === null ? null : until.getTime() };
  }
}

function verifiesAt({ verifiesUntil }: RingKey, now: number): boolean {
  return verifiesUntil === null || now < verifiesUntil;
}
