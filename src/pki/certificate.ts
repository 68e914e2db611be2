import type { ProfileName } from './profiles.js';

export const CERTIFICATE_STATES = ['active', 'superseded', 'expired', 'revoked'] as const;
export type CertificateState = (typeof CERTIFICATE_STATES)[number];

/** Whose certificate it is. */
export interface CertificateOwner {
  readonly kind: 'device' | 'service';
  readonly id: string;
  readonly tenantId: string;
}

/** A certificate as services hand it on. */
export interface CertificateRecord {
  readonly id: string;
  readonly tenantId: string;
  readonly authorityId: string;
  /** Lower-case hex. */
  readonly serial: string;
  readonly profile: ProfileName;
  /** `null`: a server's. */
  readonly owner: CertificateOwner | null;
  readonly der: Buffer;
  readonly fingerprint: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly parentId: string | null;
  /** Serial of the certificate that it was renewed with. */
  readonly parentSerial: string | null;
  /** The client secret that it was got with. */
  readonly credentialId: string | null;
  readonly requestedFrom: string | null;
  readonly createdAt: Date;
  readonly supersededAt: Date | null;
  /** A superseded one connects until then. */
  readonly endsAt: Date | null;
  readonly firstUsedAt: Date | null;
  readonly lastUsedAt: Date | null;
  readonly revokedAt: Date | null;
  readonly revokeReason: string | null;
}

/** State at `now` (ms). A superseded certificate still connects until its overlap has ended. */
export function stateOf(certificate: Pick<CertificateRecord, 'notAfter' | 'supersededAt' | 'endsAt' | 'revokedAt'>, now: number): CertificateState {
  if (certificate.revokedAt !== null) return 'revoked';
  if (certificate.notAfter.getTime() <= now || (certificate.endsAt !== null && certificate.endsAt.getTime() <= now)) return 'expired';
  return certificate.supersededAt !== null ? 'superseded' : 'active';
}

/** After a renewal the certificate before stays good until the new one has connected, and this long at most. */
export const RENEWAL_OVERLAP_MS = 7 * 86_400_000;
