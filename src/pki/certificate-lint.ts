import { readToBeSigned, type CertificateFields } from './certificate-fields.js';
import { oidOf, partsOf, readOne } from './der-reader.js';
import { OID } from './extensions.js';
import type { Issuer } from './issuer.js';
import { algorithmIdentifier, keyIdOf, type SignatureAlgorithm } from './keys.js';
import { BACKDATE_MS, POLICY_MAX_MS, type CertificateProfile } from './profiles.js';

/** A certificate was about to be signed that its profile does not allow: a mistake of ours, told in full. */
export class LintError extends Error {
  constructor(readonly findings: readonly string[]) {
    super(`a certificate was not signed: ${findings.join('; ')}`);
    this.name = 'LintError';
  }
}

const SERIAL_BYTES = 20;

/** Reads back what is to be signed, byte by byte, and holds it against RFC 5280 and its profile. @throws LintError */
export function lintCertificate(
  signed: Buffer,
  { issuer, profile, altNames }: { issuer: Omit<Issuer, 'sign' | 'certificate' | 'spki'>; profile: CertificateProfile; altNames: boolean },
): void {
  const fields = readToBeSigned(signed);
  const findings = lintCommon(fields, issuer.algorithm, issuer.keyId);
  const say = (bad: boolean, finding: string): void => void (bad && findings.push(finding));
  const wanted = [
    OID.basicConstraints, OID.keyUsage, OID.extendedKeyUsage, OID.subjectKeyIdentifier, OID.authorityKeyIdentifier,
    ...(altNames ? [OID.subjectAltName] : []),
    ...(profile.distribution && issuer.distribution ? [OID.crlDistributionPoints, OID.authorityInfoAccess] : []),
    ...(profile.noCheck ? [OID.ocspNoCheck] : []),
  ];
  say(idsOf(fields) !== [...wanted].sort().join(), 'extensions differ from those of the profile');
  say(!fields.issuer.equals(issuer.name), 'the issuer is not the authority that signs');
  say(fields.notAfter > issuer.notAfter, 'it outlives its issuer');
  say(fields.notAfter.getTime() - fields.notBefore.getTime() > Math.min(profile.maxMs, POLICY_MAX_MS) + BACKDATE_MS, 'it lives longer than the policy allows');
  const constraints = valueOf(fields, OID.basicConstraints);
  say(constraints === null || readOne(constraints).contents.length > 0, 'it could be an authority');
  const purposes = valueOf(fields, OID.extendedKeyUsage);
  say(purposes === null || partsOf(readOne(purposes)).map(oidOf).join() !== profile.purposes.join(), 'its purposes are not the profile\'s');
  if (findings.length > 0) throw new LintError(findings);
}

/** As `lintCertificate`, for an authority; `issuer` is `null` for a root. @throws LintError */
export function lintAuthority(signed: Buffer, issuer: Issuer | null, algorithm: SignatureAlgorithm): void {
  const fields = readToBeSigned(signed);
  const findings = lintCommon(fields, algorithm, issuer?.keyId ?? keyIdOf(fields.spki));
  const say = (bad: boolean, finding: string): void => void (bad && findings.push(finding));
  const constraints = valueOf(fields, OID.basicConstraints);
  say(constraints === null || partsOf(readOne(constraints))[0]?.contents[0] !== 0xff, 'basicConstraints does not say that it is an authority');
  say(!fields.extensions.some(({ id, critical }) => id === OID.basicConstraints && critical), 'basicConstraints is not critical');
  say(!fields.issuer.equals(issuer?.name ?? fields.subject), 'the issuer is not the authority that signs');
  say(issuer !== null && fields.notAfter > issuer.notAfter, 'it outlives its issuer');
  if (findings.length > 0) throw new LintError(findings);
}

function lintCommon(fields: CertificateFields, algorithm: SignatureAlgorithm, issuerKeyId: Buffer): string[] {
  const findings: string[] = [];
  const say = (bad: boolean, finding: string): void => void (bad && findings.push(finding));
  const { serial, extensions, keyId } = fields;
  say(fields.version !== 3, 'the version is not 3');
  say(serial.length !== SERIAL_BYTES || ((serial[0] ?? 0x80) & 0x80) !== 0, 'the serial is not 20 positive octets');
  say(!fields.algorithm.equals(algorithmIdentifier(algorithm)), 'the algorithm is not the one that signs');
  say(!(fields.notBefore < fields.notAfter), 'it ends before it begins');
  say(new Set(extensions.map(({ id }) => id)).size !== extensions.length, 'an extension stands twice');
  say(!extensions.some(({ id, critical }) => id === OID.keyUsage && critical), 'keyUsage is missing or not critical');
  say(keyId === null || !keyId.equals(keyIdOf(fields.spki)), 'subjectKeyIdentifier does not name the key');
  const authority = valueOf(fields, OID.authorityKeyIdentifier);
  say(authority === null || !partsOf(readOne(authority))[0]?.contents.equals(issuerKeyId), 'authorityKeyIdentifier does not name the issuer\'s key');
  return findings;
}

function idsOf({ extensions }: CertificateFields): string {
  return extensions.map(({ id }) => id).sort().join();
}

function valueOf({ extensions }: CertificateFields, wanted: string): Buffer | null {
  return extensions.find(({ id }) => id === wanted)?.value ?? null;
}
