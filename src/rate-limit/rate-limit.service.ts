import { hash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { Clock } from '../platform/clock/clock.js';
import { KeyValueStore, type Spent } from '../platform/redis/key-value.js';
import { MemoryStore } from '../platform/redis/memory-store.js';
import { addressGroup } from './address.js';
import { type Limit, type LimitName, LIMITS } from './limits.js';
import { rateLimitError } from './rate-limit.errors.js';

/**
 * Named limits on people and on HTTP (`limits.ts`). While the shared store cannot answer, each process
 * counts for itself: with n processes an attacker then has n times the rate, and nobody is let through
 * or refused because of the failure.
 */
@Injectable()
export class RateLimitService {
  private readonly fallback: MemoryStore;

  constructor(
    private readonly store: KeyValueStore,
    clock: Clock,
  ) {
    this.fallback = new MemoryStore({ clock, maxEntries: 50_000 });
  }

  /** Spends one unit. A refusal spends nothing. `key` is an address or whatever the limit is keyed by; only its hash is kept. */
  async spend(name: LimitName, key: string): Promise<Spent> {
    const { limit, hashed } = locate(name, key);
    return this.either((store) => store.spend(hashed, limit));
  }

  /** What `spend` would answer, spending nothing. */
  async peek(name: LimitName, key: string): Promise<Spent> {
    const { limit, hashed } = locate(name, key);
    return this.either((store) => store.peek(hashed, limit));
  }

  /** Gives a unit back: what was spent on an attempt turned out to be right. */
  async refund(name: LimitName, key: string): Promise<void> {
    const { limit, hashed } = locate(name, key);
    await this.either((store) => store.spend(hashed, limit, -1));
  }

  /** Spends one unit or throws RATE_LIMITED (429) with `Retry-After`. */
  async enforce(name: LimitName, key: string): Promise<void> {
    const { allowed, retryAfterMs } = await this.spend(name, key);
    if (!allowed) throw rateLimited(retryAfterMs);
  }

  private async either<T>(operation: (store: KeyValueStore) => Promise<T>): Promise<T> {
    if (!this.store.available) return operation(this.fallback);
    try {
      return await operation(this.store);
    } catch {
      return operation(this.fallback);
    }
  }
}

/** RATE_LIMITED with `Retry-After` in whole seconds, at least one (RFC 9110 §10.2.3). */
export function rateLimited(retryAfterMs: number): Error {
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1_000));
  return rateLimitError('RATE_LIMITED', { detail: `Try again in ${seconds} s.`, headers: { 'Retry-After': String(seconds) } });
}

function locate(name: LimitName, key: string): { readonly limit: Limit; readonly hashed: string } {
  const limit: Limit = LIMITS[name];
  const meant = limit.keyedBy === 'address' ? addressGroup(key) : key;
  return { limit, hashed: `limit:${name}:${hash('sha256', meant, 'base64url')}` };
}
