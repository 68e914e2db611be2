import { EnumField, ObjectField, TextField, TimeField, UuidField } from '../platform/http/fields.js';
import type { Page } from '../platform/http/paging.js';
import { CERTIFICATE_STATES, stateOf, type CertificateRecord, type CertificateState } from './certificate.js';
import { REVOKE_REASONS } from './crl.js';
import { toPem } from './der.js';
import { PROFILE_NAMES, type ProfileName } from './profiles.js';

/** Where a certificate came from. */
export class CertificateLineage {
  @TextField({ max: 40, nullable: true, description: 'Serial of the certificate that it renewed.' })
  parent!: string | null;

  @UuidField({ nullable: true, description: 'The client secret that it was got with.' })
  credentialId!: string | null;

  @TextField({ max: 64, nullable: true, description: 'Address that it was asked for from.' })
  requestedFrom!: string | null;
}

export class CertificateAnswer {
  @UuidField()
  id!: string;

  @TextField({ max: 40, description: 'Lower-case hex.' })
  serial!: string;

  @EnumField(CERTIFICATE_STATES, { description: 'A superseded certificate still connects until `endsAt`.' })
  status!: CertificateState;

  @EnumField(PROFILE_NAMES)
  profile!: ProfileName;

  @UuidField({ nullable: true })
  deviceId!: string | null;

  @UuidField({ nullable: true })
  serviceAccountId!: string | null;

  @UuidField({ description: 'The authority that issued it.' })
  authorityId!: string;

  @TextField({ max: 64, description: 'SHA-256 in lower-case hex.' })
  fingerprint!: string;

  @TimeField()
  notBefore!: string;

  @TimeField()
  notAfter!: string;

  @TimeField({ nullable: true, description: 'End of the overlap after it was renewed.' })
  endsAt!: string | null;

  @EnumField(REVOKE_REASONS, { nullable: true })
  reason!: string | null;

  @TimeField({ nullable: true })
  revokedAt!: string | null;

  @TimeField()
  issuedAt!: string;

  @TimeField({ nullable: true })
  lastUsedAt!: string | null;

  @ObjectField(() => CertificateLineage)
  lineage!: CertificateLineage;

  @TextField({ max: 16_384, description: 'PEM.' })
  certificate!: string;
}

export class CertificatePage {
  @ObjectField(() => CertificateAnswer, { list: true })
  items!: CertificateAnswer[];

  @TextField({ max: 512, nullable: true })
  nextCursor!: string | null;
}

export function showCertificate(record: CertificateRecord, now: number): CertificateAnswer {
  return {
    id: record.id,
    serial: record.serial,
    status: stateOf(record, now),
    profile: record.profile,
    deviceId: record.owner?.kind === 'device' ? record.owner.id : null,
    serviceAccountId: record.owner?.kind === 'service' ? record.owner.id : null,
    authorityId: record.authorityId,
    fingerprint: record.fingerprint,
    notBefore: record.notBefore.toISOString(),
    notAfter: record.notAfter.toISOString(),
    endsAt: record.endsAt?.toISOString() ?? null,
    reason: record.revokeReason,
    revokedAt: record.revokedAt?.toISOString() ?? null,
    issuedAt: record.createdAt.toISOString(),
    lastUsedAt: record.lastUsedAt?.toISOString() ?? null,
    lineage: { parent: record.parentSerial, credentialId: record.credentialId, requestedFrom: record.requestedFrom },
    certificate: toPem('CERTIFICATE', record.der),
  };
}

export function showCertificates({ items, nextCursor }: Page<CertificateRecord>, now: number): CertificatePage {
  return { items: items.map((record) => showCertificate(record, now)), nextCursor };
}
