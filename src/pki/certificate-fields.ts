import { DerError, oidOf, partsOf, readOne, type DerElement } from './der-reader.js';
import { OID } from './extensions.js';

export interface ExtensionField {
  readonly id: string;
  readonly critical: boolean;
  /** Contents of its OCTET STRING. */
  readonly value: Buffer;
}

/** Fields of a certificate or of what is about to be signed, as they are encoded. */
export interface CertificateFields {
  readonly version: number;
  readonly serial: Buffer;
  /** Algorithm inside the signed part. */
  readonly algorithm: Buffer;
  readonly issuer: Buffer;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly subject: Buffer;
  readonly spki: Buffer;
  readonly extensions: readonly ExtensionField[];
  /** subjectKeyIdentifier, where there is one. */
  readonly keyId: Buffer | null;
}

/** @throws DerError */
export function readCertificate(der: Buffer): CertificateFields {
  const [signed] = partsOf(readOne(der));
  return readSigned(signed);
}

/** Fields of a TBSCertificate. @throws DerError */
export function readToBeSigned(der: Buffer): CertificateFields {
  return readSigned(readOne(der));
}

function readSigned(element: DerElement | undefined): CertificateFields {
  const parts = partsOf(element);
  const version = parts[0]?.tag === 0xa0 ? (partsOf(parts.shift(), 0xa0)[0]?.contents[0] ?? 0) : 0;
  const [serial, algorithm, issuer, validity, subject, spki, ...rest] = parts;
  if (serial?.tag !== 0x02 || !algorithm || !issuer || !subject || !spki) throw new DerError('no certificate');
  const [notBefore, notAfter] = partsOf(validity).map(timeOf);
  const wrapped = rest.find(({ tag }) => tag === 0xa3);
  const extensions = wrapped === undefined ? [] : partsOf(readOne(wrapped.contents)).map(readExtension);
  const keyId = extensions.find(({ id }) => id === OID.subjectKeyIdentifier);
  return {
    version: version + 1,
    serial: serial.contents,
    algorithm: algorithm.whole,
    issuer: issuer.whole,
    notBefore: notBefore ?? new Date(Number.NaN),
    notAfter: notAfter ?? new Date(Number.NaN),
    subject: subject.whole,
    spki: spki.whole,
    extensions,
    keyId: keyId === undefined ? null : readOne(keyId.value).contents,
  };
}

function readExtension(element: DerElement): ExtensionField {
  const [id, second, third] = partsOf(element);
  const critical = second?.tag === 0x01;
  const value = critical ? third : second;
  if (value?.tag !== 0x04) throw new DerError('an extension has no value');
  return { id: oidOf(id), critical: critical && second.contents[0] === 0xff, value: value.contents };
}

/** UTCTime or GeneralizedTime in the only form that DER allows. */
function timeOf({ tag, contents }: DerElement): Date {
  const text = contents.toString('latin1');
  const digits = tag === 0x17 ? `${Number(text.slice(0, 2)) < 50 ? '20' : '19'}${text}` : text;
  const match = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(digits);
  if (match === null) throw new DerError('bad time');
  const [, year, month, day, hour, minute, second] = match;
  return new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
}
