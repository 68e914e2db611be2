import type { PatScope } from './pat-scope.js';

export type PatEnd = 'revoked' | 'revoked-by-admin' | 'password-changed' | 'password-recovered' | 'membership-disabled' | 'membership-removed';
export type PatStatus = 'ACTIVE' | 'EXPIRED' | 'IDLE' | 'REVOKED';

export const MIN_PAT_SECONDS = 1;
export const MAX_PAT_SECONDS = 366 * 86_400;
/** Shorter than this, a token would end between two runs of its program. */
export const MIN_IDLE_SECONDS = 60;
/** A token that nobody used for this long stands in the stale report, unless it is asked for otherwise. */
export const STALE_SECONDS = 30 * 86_400;

/** A token for programs: acts for its owner in one tenant, within its scopes. */
export interface Pat {
  readonly id: string;
  readonly userId: string;
  readonly tenantId: string;
  readonly name: string;
  readonly description: string;
  readonly scopes: readonly PatScope[];
  /** CIDRs from which it may be used; empty: from anywhere. */
  readonly networks: readonly string[];
  readonly maxIdleSeconds: number | null;
  readonly createdAt: Date;
  /** When its present secret was made. */
  readonly issuedAt: Date;
  readonly expiresAt: Date;
  readonly lastUsedAt: Date | null;
  readonly lastUsedIp: string | null;
  readonly revokedAt: Date | null;
}

/** @param now milliseconds */
export function statusOf(pat: Pick<Pat, 'issuedAt' | 'expiresAt' | 'lastUsedAt' | 'maxIdleSeconds' | 'revokedAt'>, now: number): PatStatus {
  if (pat.revokedAt !== null) return 'REVOKED';
  if (pat.expiresAt.getTime() <= now) return 'EXPIRED';
  const { maxIdleSeconds, lastUsedAt, issuedAt } = pat;
  const touched = Math.max(lastUsedAt?.getTime() ?? 0, issuedAt.getTime());
  return maxIdleSeconds !== null && touched + maxIdleSeconds * 1000 <= now ? 'IDLE' : 'ACTIVE';
}
