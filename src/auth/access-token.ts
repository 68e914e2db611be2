import { isCanonicalUuid } from '../platform/http/uuid-param.js';
import { ACCESS_TTL_MS } from './session.js';

/** Everything that a web token says. No role and no permission: those are looked up for each request. */
export interface AccessClaims {
  readonly userId: string;
  readonly sessionId: string;
  readonly tenantId: string | null;
}

export const AUDIENCE = 'portcullis-api';
/** RFC 9068 §2.1. A device token has another `typ`, so neither is ever taken for the other. */
export const TOKEN_TYPE = 'at+jwt';
export const ALGORITHM = 'HS256';

const MAX_SKEW_SECONDS = 60;

/**
 * Whether the header of a JWS is exactly the one that our tokens bear. A `kid`, `jku`, `jwk`, `x5u` or `crit` is never obeyed:
 * a token that has one is not ours (RFC 8725 §3.1, §3.10, §3.11).
 */
export function hasOurHeader(token: string): boolean {
  try {
    const header: unknown = JSON.parse(Buffer.from(token.split('.', 1)[0] ?? '', 'base64url').toString('utf8'));
    if (header === null || typeof header !== 'object') return false;
    const { alg, typ, ...rest } = header as Record<string, unknown>;
    return alg === ALGORITHM && typ === TOKEN_TYPE && Object.keys(rest).length === 0;
  } catch {
    return false;
  }
}

/**
 * Reads the claims of a token whose signature, issuer and audience were checked. Times are judged here, by the clock that the
 * whole application uses; a life longer than we ever give is refused however well it is signed.
 * @param now milliseconds since the epoch
 */
export function readClaims(payload: unknown, now: number): AccessClaims | null {
  if (payload === null || typeof payload !== 'object') return null;
  const { sub, sid, tid, iat, exp, nbf } = payload as Record<string, unknown>;
  const seconds = now / 1000;
  if (!isSecond(iat) || !isSecond(exp)) return null;
  if (exp <= seconds || iat > seconds + MAX_SKEW_SECONDS || exp - iat > ACCESS_TTL_MS / 1000) return null;
  if (nbf !== undefined && (!isSecond(nbf) || nbf > seconds)) return null;
  if (!isId(sub) || !isId(sid) || !(tid === undefined || isId(tid))) return null;
  return { userId: sub, sessionId: sid, tenantId: tid ?? null };
}

function isSecond(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0;
}

function isId(value: unknown): value is string {
  return typeof value === 'string' && isCanonicalUuid(value);
}
