import type { X509Certificate } from 'node:crypto';
import type { CertRefusal } from './cert-refusals.js';
import { OID } from './extensions.js';
import { commonNameOf, readIdentityUri, type CertifiedIdentity } from './identity-uri.js';

/** What a certificate says, once its signature was found to be an authority's. Times are milliseconds. */
export interface ReadCertificate {
  readonly serial: string;
  readonly fingerprint: string;
  readonly identity: CertifiedIdentity | null;
  readonly forClients: boolean;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly authorityId: string;
  /** Tenant of the authority that signed it. */
  readonly authorityTenant: string | null;
}

/** A certificate's row as the gate needs it. Times are milliseconds. */
export interface RecordedCertificate {
  readonly id: string;
  readonly serial: string;
  readonly fingerprint: string;
  readonly notAfter: number;
  /** End of the overlap after a renewal. */
  readonly endsAt: number | null;
  readonly revoked: boolean;
}

export interface CertificateSubject {
  readonly kind: 'device' | 'service';
  readonly id: string;
  readonly tenantId: string;
}

const URI_PREFIX = 'URI:';

/** Reads what counts; the signature was checked by the caller. Exact: a second CN or name makes it nobody's. */
export function readCertificate(
  parsed: X509Certificate,
  authority: { readonly id: string; readonly tenantId: string | null },
): ReadCertificate {
  return {
    serial: parsed.serialNumber.toLowerCase(),
    fingerprint: parsed.fingerprint256.replaceAll(':', '').toLowerCase(),
    identity: identityOf(parsed),
    forClients: !parsed.ca && (parsed.keyUsage as readonly string[] | undefined)?.includes(OID.clientAuth) === true,
    notBefore: Date.parse(parsed.validFrom),
    notAfter: Date.parse(parsed.validTo),
    authorityId: authority.id,
    authorityTenant: authority.tenantId,
  };
}

function identityOf({ subject, subjectAltName }: X509Certificate): CertifiedIdentity | null {
  if (subjectAltName === undefined || !subjectAltName.startsWith(URI_PREFIX)) return null;
  const identity = readIdentityUri(subjectAltName.slice(URI_PREFIX.length));
  return identity !== null && subject === `CN=${commonNameOf(identity)}` ? identity : null;
}

/** All that the certificate itself decides; `null`: it is good for this subject as far as it goes. Pure. */
export function judgeCertificate(read: ReadCertificate, subject: CertificateSubject, now: number): CertRefusal | null {
  const { identity } = read;
  if (identity === null) return 'CERT_IDENTITY';
  if (!read.forClients) return 'CERT_USAGE';
  if (identity.kind !== subject.kind || identity.id !== subject.id) return 'CERT_SUBJECT';
  if (identity.tenantId !== subject.tenantId || read.authorityTenant !== subject.tenantId) return 'CERT_TENANT';
  return judgeTime(read, now);
}

export function judgeTime({ notBefore, notAfter }: Pick<ReadCertificate, 'notBefore' | 'notAfter'>, now: number): CertRefusal | null {
  if (now < notBefore) return 'CERT_NOT_YET';
  return now >= notAfter ? 'CERT_EXPIRED' : null;
}

/** What the record of it decides. Pure. */
export function judgeRecord(record: RecordedCertificate | undefined, fingerprint: string, now: number): CertRefusal | null {
  if (record === undefined || record.fingerprint !== fingerprint) return 'CERT_UNKNOWN';
  if (record.revoked) return 'CERT_REVOKED';
  return record.endsAt !== null && now >= record.endsAt ? 'CERT_SUPERSEDED' : null;
}
