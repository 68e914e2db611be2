import type { KeyType } from './keys.js';

/** A certification authority, or a responder that speaks for one, as its row keeps it. */
export interface Authority {
  readonly id: string;
  /** `null`: of the installation. */
  readonly tenantId: string | null;
  readonly kind: 'root' | 'issuing' | 'responder';
  readonly parentId: string | null;
  readonly keyType: KeyType;
  /** DER */
  readonly certificate: Buffer;
  readonly serial: string;
  /** `null`: the key is not here. */
  readonly keyHandle: Buffer | null;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** It issues nothing more since then. */
  readonly retiredAt: Date | null;
  /** Nothing rests on it any more since then. */
  readonly endedAt: Date | null;
  /** Whether it can sign from here. */
  readonly keyHere: boolean;
}

export const AUTHORITY_STATES = ['current', 'retired', 'ended'] as const;
export type AuthorityState = (typeof AUTHORITY_STATES)[number];

/** A retired authority is trusted for what it issued; an ended one issued nothing that is still good. */
export function authorityState({ retiredAt, endedAt }: Pick<Authority, 'retiredAt' | 'endedAt'>): AuthorityState {
  if (endedAt !== null) return 'ended';
  return retiredAt === null ? 'current' : 'retired';
}

/** Organization in the names of authorities. */
export const ORGANIZATION = 'Portcullis';

/** The whole id: relying parties find an issuer by its name. */
export function issuingName(id: string): string {
  return `Portcullis Issuing ${id}`;
}

const YEAR_MS = 365 * 86_400_000;
export const ROOT_LIFE_MS = 20 * YEAR_MS;
export const ISSUING_LIFE_MS = 10 * YEAR_MS;

/** Told when an authority was made or retired; the message has no contents, each process reads Postgres. */
export const AUTHORITIES_CHANNEL = 'portcullis:authorities';
