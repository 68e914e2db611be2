import { createHash, randomBytes } from 'node:crypto';
import { bits, explicit, integer, NULL, sequence, time, unsigned } from './der.js';
import {
  authorityInfoAccess, authorityKeyIdentifier, basicConstraints, crlDistributionPoints, extendedKeyUsage, extension, keyUsage, name, OID,
  subjectAltName, subjectKeyIdentifier, type AltName, type KeyUsage,
} from './extensions.js';
import type { Issuer } from './issuer.js';
import { algorithmIdentifier, isRsa, keyIdOf, type SignatureAlgorithm } from './keys.js';
import { lintAuthority, lintCertificate } from './certificate-lint.js';
import { BACKDATE_MS, POLICY_MAX_MS, type CertificateProfile } from './profiles.js';

export interface Wanted {
  readonly profile: CertificateProfile;
  readonly commonName: string;
  readonly altNames: readonly AltName[];
  /** SubjectPublicKeyInfo of the holder. */
  readonly spki: Buffer;
  /** Milliseconds; cut to the profile's limit and to the issuer's own end. */
  readonly ttlMs: number;
  /** Milliseconds. */
  readonly now: number;
}

export interface IssuedCertificate {
  readonly der: Buffer;
  /** Lower-case hex, 40 digits. */
  readonly serial: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** SHA-256 of the certificate, lower-case hex. */
  readonly fingerprint: string;
}

const SERIAL_BYTES = 20;
const SECOND_MS = 1000;

/** The kernel is asked for many serials at once. */
const SERIALS = 64;
let ready = Buffer.alloc(0);

/** 20 random octets, positive and of full length (RFC 5280 §4.1.2.2). */
export function newSerial(): Buffer {
  if (ready.length === 0) ready = randomBytes(SERIALS * SERIAL_BYTES);
  const bytes = ready.subarray(0, SERIAL_BYTES);
  ready = ready.subarray(SERIAL_BYTES);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes;
}

/** What of its issuer stands in a certificate. */
export type IssuerFacts = Pick<Issuer, 'name' | 'keyId' | 'algorithm' | 'notAfter' | 'distribution'>;

/** A certificate that lacks its signature. */
export interface CertificateDraft {
  /** TBSCertificate in DER. */
  readonly signed: Buffer;
  readonly serial: Buffer;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** A certificate by its profile. What is to be signed is linted first: a bad one is never signed. */
export async function issueCertificate(issuer: Issuer, wanted: Wanted): Promise<IssuedCertificate> {
  return signDraft(issuer, draftCertificate(issuer, wanted));
}

export async function signDraft(issuer: Pick<Issuer, 'algorithm' | 'sign'>, draft: CertificateDraft): Promise<IssuedCertificate> {
  return finish(issuer.algorithm, await issuer.sign(draft.signed), draft);
}

/** @throws LintError */
export function draftCertificate(issuer: IssuerFacts, wanted: Wanted): CertificateDraft {
  const { profile, spki, commonName, altNames } = wanted;
  const notBefore = wholeSecond(wanted.now - BACKDATE_MS);
  const life = Math.min(wanted.ttlMs, profile.maxMs, POLICY_MAX_MS);
  const notAfter = wholeSecond(Math.min(wanted.now + life, issuer.notAfter.getTime()));
  const serial = newSerial();
  const { distribution } = issuer;
  const signed = toBeSigned({
    serial, notBefore, notAfter, spki, issuer: issuer.name, algorithm: issuer.algorithm, subject: name(commonName),
    extensions: [
      basicConstraints(false),
      keyUsage(profile.keyUsages(isRsa(spki) ? 'rsa' : 'ec')),
      extendedKeyUsage(profile.purposes),
      subjectKeyIdentifier(keyIdOf(spki)),
      authorityKeyIdentifier(issuer.keyId),
      ...(altNames.length > 0 ? [subjectAltName(altNames)] : []),
      ...(profile.distribution && distribution ? [crlDistributionPoints(distribution.crl), authorityInfoAccess(distribution)] : []),
      ...(profile.noCheck ? [extension(OID.ocspNoCheck, false, NULL)] : []),
    ],
  });
  lintCertificate(signed, { issuer, profile, altNames: altNames.length > 0 });
  return { signed, serial, notBefore, notAfter };
}

export interface WantedAuthority {
  readonly commonName: string;
  readonly organization: string;
  readonly spki: Buffer;
  readonly lifeMs: number;
  readonly now: number;
  /** `0`: signs no further authority. Left out: as many levels as there are. */
  readonly pathLength?: number;
}

const AUTHORITY_USAGES: readonly KeyUsage[] = ['digitalSignature', 'keyCertSign', 'cRLSign'];

/** Certificate of an authority; without an issuer it is a root and signs itself with `self`. */
export async function issueAuthority(
  by: { readonly issuer: Issuer } | { readonly algorithm: SignatureAlgorithm; readonly self: (bytes: Buffer) => Promise<Buffer> },
  wanted: WantedAuthority,
): Promise<IssuedCertificate> {
  const issuer = 'issuer' in by ? by.issuer : null;
  const algorithm = 'issuer' in by ? by.issuer.algorithm : by.algorithm;
  const subject = name(wanted.commonName, wanted.organization);
  const notBefore = wholeSecond(wanted.now - BACKDATE_MS);
  const notAfter = wholeSecond(Math.min(wanted.now + wanted.lifeMs, issuer?.notAfter.getTime() ?? Number.POSITIVE_INFINITY));
  const serial = newSerial();
  const keyId = keyIdOf(wanted.spki);
  const distribution = issuer?.distribution ?? null;
  const signed = toBeSigned({
    serial, notBefore, notAfter, subject, algorithm, issuer: issuer?.name ?? subject, spki: wanted.spki,
    extensions: [
      basicConstraints(true, wanted.pathLength),
      keyUsage(AUTHORITY_USAGES),
      subjectKeyIdentifier(keyId),
      authorityKeyIdentifier(issuer?.keyId ?? keyId),
      ...(distribution ? [crlDistributionPoints(distribution.crl), authorityInfoAccess(distribution)] : []),
    ],
  });
  lintAuthority(signed, issuer, algorithm);
  return finish(algorithm, await ('issuer' in by ? by.issuer.sign(signed) : by.self(signed)), { signed, serial, notBefore, notAfter });
}

interface Fields {
  readonly serial: Buffer;
  readonly algorithm: SignatureAlgorithm;
  readonly issuer: Buffer;
  readonly subject: Buffer;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly spki: Buffer;
  readonly extensions: readonly Buffer[];
}

/** TBSCertificate, version 3 (RFC 5280 §4.1). */
function toBeSigned(fields: Fields): Buffer {
  return sequence(
    explicit(0, integer(2)),
    unsigned(fields.serial),
    algorithmIdentifier(fields.algorithm),
    fields.issuer,
    sequence(time(fields.notBefore), time(fields.notAfter)),
    fields.subject,
    fields.spki,
    explicit(3, sequence(...fields.extensions)),
  );
}

function finish(algorithm: SignatureAlgorithm, signature: Buffer, { signed, serial, notBefore, notAfter }: CertificateDraft): IssuedCertificate {
  const der = sequence(signed, algorithmIdentifier(algorithm), bits(signature));
  return { der, serial: serial.toString('hex'), notBefore, notAfter, fingerprint: createHash('sha256').update(der).digest('hex') };
}

function wholeSecond(ms: number): Date {
  return new Date(Math.floor(ms / SECOND_MS) * SECOND_MS);
}
