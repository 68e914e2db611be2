import { createHmac, timingSafeEqual } from 'node:crypto';
import { randomSecret } from '../platform/crypto/random.js';
import type { CredentialOwner } from './credential.js';

const PREFIXES = { device: 'pcs_', service: 'pcx_' } as const;
/** 32 bytes as base64url; the last character bears four bits. */
const SHAPES = {
  device: /^pcs_[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/,
  service: /^pcx_[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/,
} as const;

/** Purpose of the data key under which secrets are digested. */
export const SECRET_PURPOSE = 'client-secret';

/** What the database keeps of a secret. */
export interface SecretDigest {
  readonly credentialId: string;
  /** Data key, 32 bytes. */
  readonly key: Buffer;
  readonly digest: Buffer;
}

/** `pcs_` (devices) or `pcx_` (service accounts) and 256 random bits. */
export function newSecret(kind: CredentialOwner['kind']): string {
  return randomSecret(PREFIXES[kind]);
}

export function hasSecretShape(kind: CredentialOwner['kind'], secret: string): boolean {
  return SHAPES[kind].test(secret);
}

/**
 * HMAC-SHA256 over owner, credential and secret: a digest counts in its own row only, so two rows whose digests were swapped
 * verify nothing. Each part goes in with its length before it, so that no two triples give the same bytes.
 */
export function digestSecret(key: Buffer, ownerId: string, credentialId: string, secret: string): Buffer {
  const hmac = createHmac('sha256', key);
  for (const part of [ownerId, credentialId, secret]) hmac.update(`${Buffer.byteLength(part)}:${part}`);
  return hmac.digest();
}

/** The one of `candidates` whose secret this is. All of them are computed, whichever it is. */
export function findSecret<T extends SecretDigest>(
  candidates: readonly T[],
  ownerId: string,
  secret: string,
): T | null {
  let found: T | null = null;
  for (const candidate of candidates) {
    const digest = digestSecret(candidate.key, ownerId, candidate.credentialId, secret);
    if (digest.length === candidate.digest.length && timingSafeEqual(digest, candidate.digest)) found = candidate;
  }
  return found;
}

const NO_KEY = Buffer.alloc(32);
const NO_ID = '00000000-0000-0000-0000-000000000000';

/** The work of one comparison with nobody's secret, for refusals that would otherwise come faster than a wrong secret's. */
export function pretendToCompare(secret: string): void {
  timingSafeEqual(digestSecret(NO_KEY, NO_ID, NO_ID, secret), NO_KEY);
}
