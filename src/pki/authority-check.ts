import { X509Certificate } from 'node:crypto';
import { readCertificate, type CertificateFields } from './certificate-fields.js';
import { oidOf, partsOf, readOne } from './der-reader.js';
import { OID } from './extensions.js';
import { algorithmOf } from './keys.js';

/** Longest certificate of an authority, in characters of PEM. */
export const MAX_AUTHORITY_LENGTH = 16_384;

const PEM = /^\s*-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+?)\s+-----END CERTIFICATE-----\s*$/;
/** ECDSA and RSA (PKCS #1 v1.5) with SHA-256, SHA-384 and SHA-512. */
const SIGNATURES = new Set([
  '1.2.840.10045.4.3.2', '1.2.840.10045.4.3.3', '1.2.840.10045.4.3.4', '1.2.840.113549.1.1.11', '1.2.840.113549.1.1.12', '1.2.840.113549.1.1.13',
]);
const NAME_CONSTRAINTS = '2.5.29.30';
const ANY_PURPOSE = '2.5.29.37.0';
/** All that we have below an authority; one that limits purposes must leave these. */
const NEEDED_PURPOSES: readonly string[] = [OID.clientAuth, OID.serverAuth, OID.ocspSigning];
/** Critical extensions that this room understands in an authority's certificate. */
const UNDERSTOOD: readonly string[] = [OID.basicConstraints, OID.keyUsage, OID.certificatePolicies, OID.extendedKeyUsage];
/** keyUsage: the bits keyCertSign (5) and cRLSign (6) of the first byte. */
const SIGNS_CERTIFICATES = 0x04;
const SIGNS_LISTS = 0x02;

/** Exactly one certificate in PEM; `null`: it cannot be read. */
export function parseAuthority(pem: string): X509Certificate | null {
  const body = pem.length > MAX_AUTHORITY_LENGTH ? undefined : PEM.exec(pem)?.[1];
  if (body === undefined) return null;
  try {
    const der = readOne(Buffer.from(body, 'base64')).whole;
    readCertificate(der);
    return new X509Certificate(der);
  } catch {
    return null;
  }
}

/** What speaks against a certificate as root of this installation at `now` (ms); nothing: it is good (RFC 5280 §4.2, §6.1). */
export function findingsOfRoot(certificate: X509Certificate, now: number): string[] {
  const fields = readCertificate(certificate.raw);
  const findings = findingsOf(certificate, fields, now);
  if (!fields.issuer.equals(fields.subject) || !certificate.verify(certificate.publicKey)) findings.push('it is not signed by itself');
  if (pathLengthOf(fields) === 0) findings.push('its path length lets it sign no authority');
  return findings;
}

/** As `findingsOfRoot`, for an issuing authority below the root. */
export function findingsOfIssuing(certificate: X509Certificate, root: X509Certificate, now: number): string[] {
  const fields = readCertificate(certificate.raw);
  const findings = findingsOf(certificate, fields, now);
  if (!certificate.checkIssued(root) || !certificate.verify(root.publicKey)) findings.push('it is not signed by the root of this installation');
  else if (Date.parse(certificate.validTo) > Date.parse(root.validTo)) findings.push('it outlives the root');
  if (fields.keyId === null) findings.push('it has no subjectKeyIdentifier');
  return findings;
}

function findingsOf(certificate: X509Certificate, fields: CertificateFields, now: number): string[] {
  const findings: string[] = [];
  const say = (bad: boolean, finding: string): void => void (bad && findings.push(finding));
  const critical = (id: string): boolean => fields.extensions.some((extension) => extension.id === id && extension.critical);
  const constraints = valueOf(fields, OID.basicConstraints);
  say(fields.version !== 3, 'its version is not 3');
  say(constraints === null || partsOf(readOne(constraints))[0]?.contents[0] !== 0xff, 'basicConstraints does not say that it is an authority');
  say(constraints !== null && !critical(OID.basicConstraints), 'basicConstraints is not critical');
  const usage = valueOf(fields, OID.keyUsage);
  const bits = usage === null ? 0 : (readOne(usage).contents[1] ?? 0);
  say((bits & SIGNS_CERTIFICATES) === 0, 'keyUsage does not allow it to sign certificates');
  say((bits & SIGNS_LISTS) === 0, 'keyUsage does not allow it to sign revocation lists');
  const purposes = valueOf(fields, OID.extendedKeyUsage);
  const listed = purposes === null ? null : partsOf(readOne(purposes)).map(oidOf);
  say(listed !== null && !listed.includes(ANY_PURPOSE) && NEEDED_PURPOSES.some((needed) => !listed.includes(needed)), 'extendedKeyUsage leaves out clients, servers or OCSP');
  say(valueOf(fields, NAME_CONSTRAINTS) !== null, 'name constraints are not supported');
  const foreign = fields.extensions.filter((extension) => extension.critical && !UNDERSTOOD.includes(extension.id) && extension.id !== NAME_CONSTRAINTS);
  say(foreign.length > 0, `a critical extension is not understood: ${foreign.map(({ id }) => id).join(', ')}`);
  say(!SIGNATURES.has(oidOf(partsOf(readOne(fields.algorithm))[0])), 'it is signed with an algorithm that is not accepted');
  say(!isSigningKey(certificate), 'its key is none of P-256, P-384 or RSA of at least 2048 bits');
  say(Date.parse(certificate.validFrom) > now, 'its validity begins later');
  say(Date.parse(certificate.validTo) <= now, 'it has ended');
  return findings;
}

function isSigningKey({ publicKey }: X509Certificate): boolean {
  try {
    algorithmOf(publicKey);
    return true;
  } catch {
    return false;
  }
}

/** `null`: no limit. */
function pathLengthOf(fields: CertificateFields): number | null {
  const constraints = valueOf(fields, OID.basicConstraints);
  const [, length] = constraints === null ? [] : partsOf(readOne(constraints));
  return length === undefined ? null : Number(`0x${length.contents.toString('hex')}`);
}

function valueOf({ extensions }: CertificateFields, wanted: string): Buffer | null {
  return extensions.find(({ id }) => id === wanted)?.value ?? null;
}
