import { Injectable } from '@nestjs/common';
import { ANONYMOUS_ACTOR } from '../audit/audit-event.js';
import { AuditStream } from '../audit/audit.stream.js';
import { addressGroup } from '../rate-limit/address.js';
import type { LimitName } from '../rate-limit/limits.js';
import { rateLimited, RateLimitService } from '../rate-limit/rate-limit.service.js';

export interface LoginAttempt {
  /** Folded e-mail, whether or not such an account exists. */
  readonly account: string;
  readonly address: string;
  /** From `KnownBrowsers.recognise`. */
  readonly browser: string | null;
}

/**
 * Slows guessing down without ever locking an account: failures are counted per address and per (account, address), so whoever
 * guesses spends only what belongs to his own addresses, and the owner enters from anywhere else. In a browser in which the owner
 * has logged in before, failures are counted for that browser alone, so a neighbour behind the same address does not matter.
 */
@Injectable()
export class LoginThrottle {
  constructor(
    private readonly limits: RateLimitService,
    private readonly audit: AuditStream,
  ) {}

  /** Counts the attempt before the password is looked at, so that many at once cannot slip through. @throws RATE_LIMITED */
  async enter(attempt: LoginAttempt): Promise<void> {
    for (const [name, key] of buckets(attempt)) {
      const { allowed, retryAfterMs } = await this.limits.spend(name, key);
      if (allowed) continue;
      this.audit.note({
        type: 'RATE_LIMITED',
        tenantId: null,
        actor: ANONYMOUS_ACTOR,
        ip: attempt.address,
        details: { reason: name, account: attempt.account },
      });
      throw rateLimited(retryAfterMs);
    }
  }

  /** The password was right, or nobody had the time to look at it: the attempt does not count. */
  async uncounted(attempt: LoginAttempt): Promise<void> {
    for (const [name, key] of buckets(attempt)) await this.limits.refund(name, key);
  }
}

function buckets({ account, address, browser }: LoginAttempt): (readonly [LimitName, string])[] {
  if (browser !== null) return [['login.account', `${account}\nbrowser ${browser}`]];
  return [['login.address', address], ['login.account', `${account}\naddress ${addressGroup(address)}`]];
}
