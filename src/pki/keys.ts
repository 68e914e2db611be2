import { createHash, createPrivateKey, createPublicKey, generateKeyPair, sign, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { NULL, oid, sequence } from './der.js';
import { partsOf, readOne } from './der-reader.js';

export const KEY_TYPES = ['EC', 'RSA'] as const;
export type KeyType = (typeof KEY_TYPES)[number];

/** Algorithms that this room signs with, by the key that signs. */
export type SignatureAlgorithm = 'ecdsa-sha256' | 'ecdsa-sha384' | 'rsa-sha256';

const ALGORITHMS: Readonly<Record<SignatureAlgorithm, { readonly digest: string; readonly identifier: Buffer }>> = {
  'ecdsa-sha256': { digest: 'sha256', identifier: sequence(oid('1.2.840.10045.4.3.2')) },
  'ecdsa-sha384': { digest: 'sha384', identifier: sequence(oid('1.2.840.10045.4.3.3')) },
  'rsa-sha256': { digest: 'sha256', identifier: sequence(oid('1.2.840.113549.1.1.11'), NULL) },
};

const RSA_BITS = 3072;
const newKeyPair = promisify(generateKeyPair);
const signAside = promisify<string, Buffer, KeyObject, Buffer>(sign as never);

/** A fresh private key; made on the thread pool. */
export async function generateKey(type: KeyType): Promise<KeyObject> {
  const { privateKey } = type === 'EC'
    ? await newKeyPair('ec', { namedCurve: 'P-256' })
    : await newKeyPair('rsa', { modulusLength: RSA_BITS });
  return privateKey;
}

/** `AlgorithmIdentifier` (RFC 5280 §4.1.1.2). */
export function algorithmIdentifier(algorithm: SignatureAlgorithm): Buffer {
  return ALGORITHMS[algorithm].identifier;
}

/** The algorithm that fits a key that signs. @throws for keys that no authority of ours may have */
export function algorithmOf(key: KeyObject): SignatureAlgorithm {
  const { namedCurve, modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType === 'rsa' && modulusLength >= 2048) return 'rsa-sha256';
  if (key.asymmetricKeyType === 'ec' && namedCurve === 'prime256v1') return 'ecdsa-sha256';
  if (key.asymmetricKeyType === 'ec' && namedCurve === 'secp384r1') return 'ecdsa-sha384';
  throw new Error('an authority signs with P-256, P-384 or RSA of at least 2048 bits');
}

/** Signs on the thread pool, so that the event loop goes on. */
export function signBytes(algorithm: SignatureAlgorithm, key: KeyObject, bytes: Buffer): Promise<Buffer> {
  return signAside(ALGORITHMS[algorithm].digest, bytes, key);
}

/** SubjectPublicKeyInfo in DER. */
export function spkiOf(key: KeyObject): Buffer {
  return (key.type === 'private' ? createPublicKey(key) : key).export({ type: 'spki', format: 'der' });
}

/** Key identifier: SHA-1 over the key's bits (RFC 5280 §4.2.1.2, method 1). It names a key and proves nothing. */
export function keyIdOf(spki: Buffer): Buffer {
  const [, key] = partsOf(readOne(spki));
  return createHash('sha1').update((key?.contents ?? Buffer.alloc(0)).subarray(1)).digest();
}

/** SHA-256 of the whole SubjectPublicKeyInfo: the name under which a key is remembered. */
export function keyHashOf(spki: Buffer): Buffer {
  return createHash('sha256').update(spki).digest();
}

export function toPkcs8(key: KeyObject): Buffer {
  return key.export({ type: 'pkcs8', format: 'der' });
}

export function fromPkcs8(der: Buffer): KeyObject {
  return createPrivateKey({ key: der, type: 'pkcs8', format: 'der' });
}

export function privatePem(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}
