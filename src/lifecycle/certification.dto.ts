import { BooleanField, LifetimeField, EnumField, ObjectField, OpaqueField, TextField, TimeField, UuidField } from '../platform/http/fields.js';
import { REVOKE_REASONS, type RevokeReason } from '../pki/crl.js';
import { MAX_CSR_LENGTH } from '../pki/csr.js';
import { KEY_TYPES, type KeyType } from '../pki/keys.js';
import { EjectionView } from './lifecycle.dto.js';
import type { RevocationResult } from './revocation.js';

/* Requests */

export class CertificateRequest {
  @OpaqueField({ optional: true, min: 1, max: MAX_CSR_LENGTH, description: 'PKCS #10 in PEM. Only its key is taken; subject and extensions are ours to say.' })
  csr?: string;

  @BooleanField({ optional: true, description: 'Make the key here and show it this once, in place of `csr`.' })
  generate?: boolean;

  @EnumField(KEY_TYPES, { optional: true, description: 'With `generate`: EC (P-256) when left out, RSA has 3072 bits.' })
  keyType?: KeyType;

  @OpaqueField({ optional: true, min: 8, max: 128, description: 'With `generate`: also answer PKCS #12 under this password.' })
  password?: string;

  @LifetimeField({ optional: true, description: 'Seconds, or with a unit: `90d`, `8760h`. 90 days when left out, 8760 hours at most.', example: '90d' })
  ttl?: string | number;

  @TextField({ optional: true, max: 32, description: '`device` for devices, `service` for service accounts; there is nothing else to choose.' })
  profile?: string;
}

export class RevokeRequest {
  @EnumField(REVOKE_REASONS, { description: 'RFC 5280 §5.3.1.' })
  reason!: RevokeReason;
}

export class RevokeQuery {
  @EnumField(['true', 'false'], { optional: true, description: 'Also what renewed it, and so on.' })
  lineage?: 'true' | 'false';

  @TimeField({ optional: true, description: 'With `lineage`: only what was issued from then on.' })
  since?: string;

  @EnumField(['true', 'false'], { optional: true, description: 'Only tell what would be revoked.' })
  dryRun?: 'true' | 'false';
}

/* Answers */

export class RevokedCertificateView {
  @TextField({ max: 40 })
  serial!: string;

  @UuidField({ nullable: true })
  deviceId!: string | null;

  @TimeField()
  issuedAt!: string;

  @TimeField()
  notAfter!: string;

  @TimeField({ nullable: true })
  lastUsedAt!: string | null;
}

export class RevocationAnswer {
  @BooleanField({ description: 'A preview: nothing was revoked.' })
  dryRun!: boolean;

  @ObjectField(() => RevokedCertificateView, { list: true, max: 100_000 })
  revoked!: RevokedCertificateView[];

  @ObjectField(() => EjectionView, { nullable: true })
  ejection!: EjectionView | null;
}

export function showRevocation({ dryRun, certificates, ejection }: RevocationResult): RevocationAnswer {
  return {
    dryRun,
    revoked: certificates.map(({ serial, owner, createdAt, notAfter, lastUsedAt }) => ({
      serial,
      deviceId: owner?.kind === 'device' ? owner.id : null,
      issuedAt: createdAt.toISOString(),
      notAfter: notAfter.toISOString(),
      lastUsedAt: lastUsedAt?.toISOString() ?? null,
    })),
    ejection,
  };
}
