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
  readonly retiredAt: Date | null;
}

const YEAR_MS = 365 * 86_400_000;
export const ROOT_LIFE_MS = 20 * YEAR_MS;
export const ISSUING_LIFE_MS = 10 * YEAR_MS;

/** Told when an authority was made or retired; the message has no contents, each process reads Postgres. */
export const AUTHORITIES_CHANNEL = 'portcullis:authorities';
