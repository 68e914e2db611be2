import { createHmac, createSecretKey, sign, timingSafeEqual, verify, type KeyObject } from 'node:crypto';
import { isCanonicalUuid } from '../platform/http/uuid-param.js';
import type { ProofRefusal } from './proof-refusals.js';
import { TOKEN_AUDIENCE, TOKEN_SCOPE, TOKEN_TYPE, type DeviceClaims } from './token-claims.js';

/** A CONNECT with the token must fit into the 16 KiB that brokers take as a packet. */
export const MAX_TOKEN_BYTES = 15 * 1024;
export const MIN_TTL_SECONDS = 60;
export const MAX_TTL_SECONDS = 86_400;
export const DEFAULT_TTL_SECONDS = 3_600;
/** Clocks of several instances differ; a token may come from this far ahead. */
export const MAX_AHEAD_SECONDS = 60;

/** `kid` of the HS256 key. Those of ES256 keys are 43-character thumbprints, so the two families never meet. */
export const HS256_KID = 'hs256';

export type TokenAlgorithm = 'ES256' | 'HS256';

/** A key bound to its one algorithm (RFC 8725 §3.1): what the token's header says never chooses. */
export interface TokenKey {
  readonly kid: string;
  readonly algorithm: TokenAlgorithm;
  /** ES256: the private half to sign, the public half to verify. HS256: the secret. */
  readonly key: KeyObject;
}

/** What a genuine token says, whatever the time is. Times are seconds since the epoch. */
export interface TokenIdentity {
  /** Device id. */
  readonly subject: string;
  readonly tenantId: string;
  /** `jti`: the id of the credential. */
  readonly credentialId: string;
  readonly issuedAt: number;
  readonly expiresAt: number;
  readonly kid: string;
}

/** A token taken apart, nothing of it verified. */
export interface ParsedToken {
  readonly kid: string;
  readonly alg: string;
  readonly typ: unknown;
  readonly signed: Buffer;
  readonly signature: Buffer;
  readonly payload: Readonly<Record<string, unknown>>;
}

export function hs256Key(secret: string): TokenKey {
  return { kid: HS256_KID, algorithm: 'HS256', key: createSecretKey(Buffer.from(secret, 'utf8')) };
}

/** Compact JWS (RFC 7515 §7.1), ES256 with the fixed-length signature of RFC 7518 §3.4. */
export function signToken(claims: DeviceClaims, { kid, algorithm, key }: TokenKey): string {
  const header = encode({ alg: algorithm, typ: TOKEN_TYPE, kid });
  const input = `${header}.${encode(claims)}`;
  const bytes = Buffer.from(input, 'ascii');
  const signature = algorithm === 'ES256'
    ? sign('sha256', bytes, { key, dsaEncoding: 'ieee-p1363' })
    : createHmac('sha256', key).update(bytes).digest();
  return `${input}.${signature.toString('base64url')}`;
}

/**
 * Takes a token apart. Of the header only `kid`, `alg` and `typ` are read: `jku`, `x5u`, `jwk` and `x5c` name keys of the
 * sender's choice and are ignored (RFC 8725 §3.10); `crit` demands what nobody here understands (RFC 7515 §4.1.11).
 * Segments must be base64url as we write it, without padding or stray bits, so that a token has one spelling.
 */
export function parseToken(token: string): ParsedToken | null {
  if (token.length > MAX_TOKEN_BYTES) return null;
  const segments = token.split('.');
  if (segments.length !== 3) return null;
  const [head, body, tail] = segments as [string, string, string];
  const header = decodeObject(head);
  const payload = decodeObject(body);
  const signature = decode(tail);
  if (header === null || payload === null || signature === null) return null;
  const { kid, alg, typ } = header;
  if (typeof kid !== 'string' || typeof alg !== 'string' || Object.hasOwn(header, 'crit')) return null;
  const signed = Buffer.from(token.slice(0, head.length + 1 + body.length), 'ascii');
  return { kid, alg, typ, payload, signature, signed };
}

/** Whether the signature is the key's, computed here and now (ES256: some 70 µs). */
export function verifySignature(parsed: ParsedToken, key: TokenKey): boolean {
  if (!fitsKey(parsed, key)) return false;
  if (key.algorithm === 'HS256') {
    return timingSafeEqual(createHmac('sha256', key.key).update(parsed.signed).digest(), parsed.signature);
  }
  return verify('sha256', parsed.signed, { key: key.key, dsaEncoding: 'ieee-p1363' }, parsed.signature);
}

/** As `verifySignature`, with ES256 off the event loop. */
export function verifySignatureAside(parsed: ParsedToken, key: TokenKey): Promise<boolean> {
  if (key.algorithm === 'HS256' || !fitsKey(parsed, key)) return Promise.resolve(verifySignature(parsed, key));
  return new Promise((resolve, reject) => {
    verify('sha256', parsed.signed, { key: key.key, dsaEncoding: 'ieee-p1363' }, parsed.signature, (error, good) => {
      if (error) reject(error);
      else resolve(good);
    });
  });
}

/** `alg` must say what the key is for; it decides nothing. */
function fitsKey(parsed: ParsedToken, { algorithm }: TokenKey): boolean {
  return parsed.alg === algorithm && parsed.signature.length === (algorithm === 'ES256' ? 64 : 32);
}

/** The claims of a token whose signature is right, as far as they do not depend on device and time. */
export function readIdentity(parsed: ParsedToken, issuer: string): TokenIdentity | ProofRefusal {
  const { iss, aud, scope, sub, tid, jti, iat, exp } = parsed.payload;
  const ours = parsed.typ === TOKEN_TYPE && iss === issuer && aud === TOKEN_AUDIENCE && scope === TOKEN_SCOPE;
  if (!ours) return 'TOKEN_CLAIMS';
  if (!isId(sub) || !isId(tid) || !isId(jti) || !isTime(iat) || !isTime(exp)) return 'TOKEN_MALFORMED';
  if (exp - iat > MAX_TTL_SECONDS) return 'TOKEN_TOO_LONG';
  return { subject: sub, tenantId: tid, credentialId: jti, issuedAt: iat, expiresAt: exp, kid: parsed.kid };
}

/** What may end a token before its time. */
export interface TokenLimits {
  readonly tokensNotBefore: number | null;
  readonly revoked: ReadonlySet<string>;
}

/** Whether the device that the token names may use it at `now` (ms); `null` says yes. */
export function judgeToken(identity: TokenIdentity, limits: TokenLimits, now: number): ProofRefusal | null {
  const { tokensNotBefore, revoked } = limits;
  const refusal = judgeTime(identity, now);
  if (refusal !== null) return refusal;
  if (tokensNotBefore !== null && identity.issuedAt < tokensNotBefore) return 'TOKEN_SUPERSEDED';
  return revoked.has(identity.credentialId) ? 'TOKEN_REVOKED' : null;
}

/** The part of `judgeToken` that the token and the clock decide alone. */
export function judgeTime({ issuedAt, expiresAt }: TokenIdentity, now: number): ProofRefusal | null {
  if (expiresAt * 1000 <= now) return 'TOKEN_EXPIRED';
  return issuedAt * 1000 > now + MAX_AHEAD_SECONDS * 1000 ? 'TOKEN_NOT_YET' : null;
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value), 'utf8').toString('base64url');
}

function decode(segment: string): Buffer | null {
  const bytes = Buffer.from(segment, 'base64url');
  return segment !== '' && bytes.toString('base64url') === segment ? bytes : null;
}

function decodeObject(segment: string): Record<string, unknown> | null {
  const bytes = decode(segment);
  if (bytes === null) return null;
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    if (value === null || typeof value !== 'object' || Array.isArray(value)) return null;
    return value as Record<string, unknown>;
  } catch {
    return null;
  }
}

function isId(value: unknown): value is string {
  return typeof value === 'string' && isCanonicalUuid(value);
}

function isTime(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}
