/** Purpose of the data key that seals HMAC secrets. */
export const HMAC_PURPOSE = 'device-hmac';
/** After a rotation the secret before verifies this long. */
export const HMAC_OVERLAP_MS = 3_600_000;
/** Secrets of one device that verify at a time; a message that none of them fits costs one HMAC each. */
export const MAX_LIVE_HMAC_SECRETS = 5;
export const HMAC_SECRET_BYTES = 32;

/** A secret opened for use. It never leaves the process. */
export interface DeviceSecret {
  readonly id: string;
  /** 32 bytes. */
  readonly key: Buffer;
  /** Milliseconds; null: until it is rotated or revoked. */
  readonly expiresAt: number | null;
}

/** A secret as Postgres keeps it, and as the shared store may: without the data key it is of no use. */
export interface SealedSecret {
  readonly id: string;
  readonly tenantId: string;
  readonly sealed: Buffer;
  readonly expiresAt: number | null;
}

/** Where a secret stands; authenticated with it, so that one row's value opens in no other. */
export function sealContext(tenantId: string, id: string) {
  return { purpose: HMAC_PURPOSE, table: 'device_secrets', tenant: tenantId, row: id, version: 1 } as const;
}
