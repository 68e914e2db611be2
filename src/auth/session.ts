export type Transport = 'json' | 'cookie';
export type SessionEnd =
  | 'logout'
  | 'revoked'
  | 'refresh-reuse'
  | 'password-changed'
  | 'password-recovered'
  | 'email-changed'
  | 'account-disabled'
  | 'membership-disabled'
  | 'membership-removed';

/** Which of an account's sessions. */
export type SessionChoice = { readonly only: string } | { readonly tenantId: string } | { readonly except: string } | 'all';

export const ACCESS_TTL_MS = 3_600_000;
/** A session that is not refreshed for this long is over; each refresh begins it anew. */
export const REFRESH_TTL_MS = 24 * 3_600_000;
/** However often it is refreshed, a session ends after this. */
export const SESSION_TTL_MS = 30 * 24 * 3_600_000;

/** A person's log-in from one browser or tool. */
export interface Session {
  readonly id: string;
  readonly userId: string;
  /** `null`: the account had no membership when it logged in. */
  readonly tenantId: string | null;
  readonly transport: Transport;
  readonly ip: string | null;
  readonly userAgent: string | null;
  readonly createdAt: Date;
  readonly lastUsedAt: Date;
  readonly refreshExpiresAt: Date;
  readonly absoluteExpiresAt: Date;
  readonly endedAt: Date | null;
}

/** Where a request came from, for the list of sessions. */
export interface Origin {
  readonly ip: string;
  readonly userAgent: string | null;
}

/** What a login or refresh hands out. */
export interface Grant {
  readonly sessionId: string;
  readonly transport: Transport;
  readonly accessToken: string;
  /** Seconds. */
  readonly expiresIn: number;
  readonly refreshToken: string;
  /** Milliseconds since the epoch. */
  readonly refreshExpiresAt: number;
}

/** Whether a session can still be refreshed. */
export function isLiving(session: Session, now: number): boolean {
  return session.endedAt === null && session.refreshExpiresAt.getTime() > now && session.absoluteExpiresAt.getTime() > now;
}
