import 'reflect-metadata';
import { verify, type KeyObject } from 'node:crypto';
import { Pkcs10CertificateRequest } from '@peculiar/x509';
import { NULL } from './der.js';
import { DerError, oidOf, partsOf, readOne, type DerElement } from './der-reader.js';
import { canonicalSpki, publicKeyOf } from './keys.js';
import { pkiError } from './pki.errors.js';
import { weaknessOf } from './weak-keys.js';

/** Longest request in characters of PEM: a key of 4096 bits and extensions that nobody reads fit many times. */
export const MAX_CSR_LENGTH = 16_384;

const PEM = /^\s*-----BEGIN (NEW )?CERTIFICATE REQUEST-----\s+([A-Za-z0-9+/=\s]+?)\s+-----END \1?CERTIFICATE REQUEST-----\s*$/;
/** What nearly all requests are signed with: ECDSA and RSA (PKCS #1 v1.5), by the digest. */
const DIGESTS: ReadonlyMap<string, { readonly digest: string; readonly keyType: string }> = new Map([
  ['1.2.840.10045.4.3.2', { digest: 'sha256', keyType: 'ec' }],
  ['1.2.840.10045.4.3.3', { digest: 'sha384', keyType: 'ec' }],
  ['1.2.840.10045.4.3.4', { digest: 'sha512', keyType: 'ec' }],
  ['1.2.840.113549.1.1.11', { digest: 'sha256', keyType: 'rsa' }],
  ['1.2.840.113549.1.1.12', { digest: 'sha384', keyType: 'rsa' }],
  ['1.2.840.113549.1.1.13', { digest: 'sha512', keyType: 'rsa' }],
]);

/** The frame of a request (RFC 2986 §4). */
interface Frame {
  /** CertificationRequestInfo, as it was signed. */
  readonly signed: Buffer;
  readonly spki: Buffer;
  /** Object identifier. */
  readonly algorithm: string;
  readonly signature: Buffer;
}

/**
 * The public key of a certificate request (RFC 2986), once the request proves possession of the private one. Its subject and
 * extensions are not looked at: who the certificate is for is known from elsewhere. It costs a fifth of a millisecond: for a thread.
 * @returns SubjectPublicKeyInfo in DER
 * @throws CSR_MALFORMED, CSR_SIGNATURE, KEY_WEAK
 */
export async function readCsr(pem: string): Promise<Buffer> {
  const der = derOf(pem);
  const { frame, key } = readFrame(der);
  // First, and by its size above all: the proof of an enormous key would keep everybody's certificates waiting.
  const weakness = weaknessOf(key);
  if (weakness !== null) throw pkiError('KEY_WEAK', { detail: weakness });
  if (!(await isProven(der, frame, key))) throw pkiError('CSR_SIGNATURE');
  return canonicalSpki(frame.spki, key);
}

function derOf(pem: string): Buffer {
  const body = PEM.exec(pem)?.[2];
  if (body === undefined) throw pkiError('CSR_MALFORMED', { detail: 'It is no PEM with the label CERTIFICATE REQUEST.' });
  return Buffer.from(body, 'base64');
}

/** Only the frame is taken apart here; what the key is, and whether the signature is its, is OpenSSL's to say. */
function readFrame(der: Buffer): { frame: Frame; key: KeyObject } {
  try {
    const [information, algorithm, signature, ...rest] = partsOf(readOne(der));
    const [version, subject, spki] = partsOf(information);
    if (!information || signature?.tag !== 0x03 || signature.contents[0] !== 0 || rest.length > 0) throw new DerError('no request');
    if (version?.tag !== 0x02 || subject?.tag !== 0x30 || spki?.tag !== 0x30) throw new DerError('no request');
    const frame = { signed: information.whole, spki: spki.whole, algorithm: algorithmOf(algorithm), signature: signature.contents.subarray(1) };
    return { frame, key: publicKeyOf(frame.spki) };
  } catch (error) {
    throw pkiError('CSR_MALFORMED', { cause: error });
  }
}

/**
 * Its object identifier. The signature does not cover it, so what is around the identifier must be what belongs there: nothing with ECDSA
 * (RFC 5758 §3.2), NULL or nothing with RSA (RFC 4055 §5). Rarer algorithms are read by the library.
 */
function algorithmOf(element: DerElement | undefined): string {
  const [identifier, parameters, ...rest] = partsOf(element);
  const algorithm = oidOf(identifier);
  const known = DIGESTS.get(algorithm);
  const fits = parameters === undefined || (known?.keyType === 'rsa' && parameters.whole.equals(NULL));
  if (known !== undefined && !(fits && rest.length === 0)) throw new DerError('parameters that the algorithm does not have');
  return algorithm;
}

/** What is signed in a rarer way is left to the library; a key that it cannot verify with proves nothing. */
async function isProven(der: Buffer, { signed, algorithm, signature }: Frame, key: KeyObject): Promise<boolean> {
  const known = DIGESTS.get(algorithm);
  if (known !== undefined) return known.keyType === key.asymmetricKeyType && verify(known.digest, signed, key, signature);
  try {
    return await new Pkcs10CertificateRequest(new Uint8Array(der)).verify();
  } catch {
    return false;
  }
}
