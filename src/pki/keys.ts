import { createHash, createPrivateKey, createPublicKey, generateKeyPair, sign, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { NULL, oid, sequence } from './der.js';
import { oidOf, partsOf, readOne } from './der-reader.js';

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

/**
 * Signs on the thread pool, so that the event loop goes on; with P-256 at once, since the way to the pool and back takes several times
 * as long as the signature.
 */
export async function signBytes(algorithm: SignatureAlgorithm, key: KeyObject, bytes: Buffer): Promise<Buffer> {
  const { digest } = ALGORITHMS[algorithm];
  return algorithm === 'ecdsa-sha256' ? sign(digest, bytes, key) : signAside(digest, bytes, key);
}

/** SubjectPublicKeyInfo of every key on P-256 up to the coordinates of its point, which is not compressed (RFC 5480 §2). */
const P256 = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200' + '04', 'hex');
const P256_BYTES = 32;

function isPlainP256(spki: Buffer): boolean {
  return spki.length === P256.length + 2 * P256_BYTES && spki.subarray(0, P256.length).equals(P256);
}

/** A public key from its SubjectPublicKeyInfo. OpenSSL checks either way that a point is on its curve. @throws for what is no key */
export function publicKeyOf(spki: Buffer): KeyObject {
  if (!isPlainP256(spki)) return createPublicKey({ key: spki, type: 'spki', format: 'der' });
  // By its coordinates: OpenSSL takes several times as long to find out what kind of key it was given in DER.
  const [x, y] = [spki.subarray(P256.length, P256.length + P256_BYTES), spki.subarray(P256.length + P256_BYTES)];
  return createPublicKey({ key: { kty: 'EC', crv: 'P-256', x: x.toString('base64url'), y: y.toString('base64url') }, format: 'jwk' });
}

/** SubjectPublicKeyInfo of a key as OpenSSL writes it, however it was put in `spki`: one key has one name. */
export function canonicalSpki(spki: Buffer, key: KeyObject): Buffer {
  return isPlainP256(spki) ? spki : spkiOf(key);
}

const RSA_ENCRYPTION = '1.2.840.113549.1.1.1';

/** Whether a SubjectPublicKeyInfo is of an RSA key. */
export function isRsa(spki: Buffer): boolean {
  const [algorithm] = partsOf(readOne(spki));
  return oidOf(partsOf(algorithm)[0]) === RSA_ENCRYPTION;
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
