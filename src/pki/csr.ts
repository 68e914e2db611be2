import 'reflect-metadata';
import { createPublicKey, type KeyObject } from 'node:crypto';
import { Pkcs10CertificateRequest } from '@peculiar/x509';
import { DerError, readOne } from './der-reader.js';
import { spkiOf } from './keys.js';
import { pkiError } from './pki.errors.js';
import { weaknessOf } from './weak-keys.js';

/** Longest request in characters of PEM: a key of 4096 bits and extensions that nobody reads fit many times. */
export const MAX_CSR_LENGTH = 16_384;

const PEM = /^\s*-----BEGIN (NEW )?CERTIFICATE REQUEST-----\s+([A-Za-z0-9+/=\s]+?)\s+-----END \1?CERTIFICATE REQUEST-----\s*$/;

/**
 * The public key of a certificate request (RFC 2986), once the request proves possession of the private one. Its subject and
 * extensions are not looked at: who the certificate is for is known from elsewhere.
 * @throws CSR_MALFORMED, CSR_SIGNATURE, KEY_WEAK
 */
export async function readCsr(pem: string): Promise<Buffer> {
  const key = await provenKey(derOf(pem));
  const weakness = weaknessOf(key);
  if (weakness !== null) throw pkiError('KEY_WEAK', { detail: weakness });
  return spkiOf(key);
}

function derOf(pem: string): Buffer {
  const body = PEM.exec(pem)?.[2];
  if (body === undefined) throw pkiError('CSR_MALFORMED', { detail: 'It is no PEM with the label CERTIFICATE REQUEST.' });
  try {
    return readOne(Buffer.from(body, 'base64')).whole;
  } catch (error) {
    if (error instanceof DerError) throw pkiError('CSR_MALFORMED', { cause: error });
    throw error;
  }
}

async function provenKey(der: Buffer): Promise<KeyObject> {
  let request: Pkcs10CertificateRequest;
  let key: KeyObject;
  try {
    request = new Pkcs10CertificateRequest(new Uint8Array(der));
    key = createPublicKey({ key: Buffer.from(request.publicKey.rawData), type: 'spki', format: 'der' });
  } catch (error) {
    throw pkiError('CSR_MALFORMED', { cause: error });
  }
  // A key that the library cannot verify with proves nothing either.
  const proven = await request.verify().catch(() => false);
  if (!proven) throw pkiError('CSR_SIGNATURE');
  return key;
}
