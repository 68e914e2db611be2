import type { CredentialKind } from '../devices/holdings.js';

/** Kinds of credentials that this room issues; the others of `POST /devices` belong to rooms of their own. */
export const ISSUED_KINDS = ['secret', 'token'] as const;
export type IssuedKind = (typeof ISSUED_KINDS)[number];

export const CREDENTIAL_STATES = ['active', 'pending', 'superseded', 'expired', 'revoked'] as const;
export type CredentialState = (typeof CREDENTIAL_STATES)[number];

/** Whose credential it is. */
export interface CredentialOwner {
  readonly kind: 'device' | 'service';
  readonly id: string;
  readonly tenantId: string;
}

/** What decides about the state of a credential. */
export interface Validity {
  readonly notBefore: Date;
  /** `null`: until it is rotated or revoked. */
  readonly expiresAt: Date | null;
  readonly supersededAt: Date | null;
  readonly revokedAt: Date | null;
}

/** A credential as it may be shown: never the secret, nor its digest. */
export interface CredentialView extends Validity {
  readonly id: string;
  readonly kind: CredentialKind;
  readonly state: CredentialState;
  readonly createdAt: Date;
  /** The credential that it was got with. */
  readonly parentId: string | null;
  readonly lastUsedAt: Date | null;
}

/** After a rotation the secret before stays valid this long. */
export const ROTATION_OVERLAP_MS = 3_600_000;
/** Secrets of one owner that are valid at a time; each costs an HMAC at every CONNECT with a secret. */
export const MAX_LIVE_SECRETS = 5;

/** State at `now` (ms). A superseded credential still proves its owner until it expires. */
export function stateOf(validity: Validity, now: number): CredentialState {
  if (validity.revokedAt !== null) return 'revoked';
  if (validity.expiresAt !== null && validity.expiresAt.getTime() <= now) return 'expired';
  if (validity.supersededAt !== null) return 'superseded';
  return validity.notBefore.getTime() > now ? 'pending' : 'active';
}
