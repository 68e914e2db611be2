import { findSecret, type SecretDigest } from './client-secret.js';
import type { ProofRefusal } from './proof-refusals.js';

/** A secret's row as the gate needs it. Times are milliseconds. */
export interface SecretMaterial extends SecretDigest {
  readonly notBefore: number;
  readonly expiresAt: number | null;
  readonly revoked: boolean;
}

/** What the gate knows of one owner's credentials. */
export interface CredentialMaterial {
  /** It shows every change up to this version of the owner's facts, and perhaps later ones. */
  readonly version: number;
  /** Neither revoked nor expired when they were read. */
  readonly live: readonly SecretMaterial[];
  /** The latest of the others, so that a device's own old secret is told from a stranger's guess. */
  readonly ended: readonly SecretMaterial[];
  /** Ids of tokens that were revoked and have not expired. */
  readonly revoked: ReadonlySet<string>;
}

/** As the shared store keeps it: ids of data keys in place of the keys. */
export interface PlainMaterial {
  readonly secrets: readonly PlainSecret[];
  readonly revoked: readonly string[];
}

export interface PlainSecret {
  readonly id: string;
  readonly keyId: string;
  /** base64 */
  readonly digest: string;
  readonly notBefore: number;
  readonly expiresAt: number | null;
  readonly revoked: boolean;
  readonly live: boolean;
}

export type SecretVerdict =
  | { readonly ok: true; readonly credentialId: string; readonly endsAt: number | null }
  | { readonly ok: false; readonly reason: ProofRefusal; readonly own: boolean };

/** Clocks of several instances differ: a secret issued by one may be younger than another's now. */
const MAX_AHEAD_MS = 60_000;

/** The secret of this owner, valid or ended, that is the one shown. */
export function findShown({ live, ended }: CredentialMaterial, ownerId: string, secret: string): SecretMaterial | null {
  return findSecret(live, ownerId, secret) ?? findSecret(ended, ownerId, secret);
}

/** Whether a secret that was found counts at `now` (ms). `own`: it is, or was, this owner's. */
export function judgeSecret(found: SecretMaterial | null, now: number): SecretVerdict {
  if (found === null) return { ok: false, reason: 'SECRET_UNKNOWN', own: false };
  if (found.revoked) return { ok: false, reason: 'SECRET_REVOKED', own: true };
  if (found.expiresAt !== null && found.expiresAt <= now) return { ok: false, reason: 'SECRET_EXPIRED', own: true };
  if (found.notBefore > now + MAX_AHEAD_MS) return { ok: false, reason: 'SECRET_NOT_YET', own: true };
  return { ok: true, credentialId: found.credentialId, endsAt: found.expiresAt };
}
