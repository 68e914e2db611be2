import { createHash, createHmac, randomBytes, type KeyObject } from 'node:crypto';
import { bmp, explicit, integer, NULL, octets, oid, sequence, setOf } from './der.js';

const DATA = '1.2.840.113549.1.7.1';
const SHROUDED_KEY_BAG = '1.2.840.113549.1.12.10.1.2';
const CERT_BAG = '1.2.840.113549.1.12.10.1.3';
const X509_CERTIFICATE = '1.2.840.113549.1.9.22.1';
const FRIENDLY_NAME = '1.2.840.113549.1.9.20';
const LOCAL_KEY_ID = '1.2.840.113549.1.9.21';
const SHA256 = '2.16.840.1.101.3.4.2.1';
const MAC_ITERATIONS = 10_000;
const HASH_BYTES = 32;
const BLOCK_BYTES = 64;

/**
 * PFX (RFC 7292): the key under PBES2 with AES-256 and PBKDF2, certificates in the clear, all of it under an HMAC-SHA-256 of the
 * password. The chain runs from the leaf upwards.
 */
export function pkcs12(key: KeyObject, chain: readonly Buffer[], password: string, label: string): Buffer {
  const shrouded = key.export({ type: 'pkcs8', format: 'der', cipher: 'aes-256-cbc', passphrase: password });
  const keyId = createHash('sha1').update(chain[0] ?? Buffer.alloc(0)).digest();
  const identity = setOfAll(attribute(LOCAL_KEY_ID, octets(keyId)), attribute(FRIENDLY_NAME, bmp(label)));
  const keyBag = sequence(oid(SHROUDED_KEY_BAG), explicit(0, shrouded), identity);
  const certBags = chain.map((certificate, index) => sequence(
    oid(CERT_BAG),
    explicit(0, sequence(oid(X509_CERTIFICATE), explicit(0, octets(certificate)))),
    ...(index === 0 ? [identity] : []),
  ));
  const safe = sequence(data(sequence(...certBags)), data(sequence(keyBag)));
  const salt = randomBytes(16);
  const macKey = deriveMacKey(password, salt);
  const mac = createHmac('sha256', macKey).update(safe).digest();
  return sequence(
    integer(3),
    data(safe),
    sequence(sequence(sequence(oid(SHA256), NULL), octets(mac)), octets(salt), integer(MAC_ITERATIONS)),
  );
}

function data(contents: Buffer): Buffer {
  return sequence(oid(DATA), explicit(0, octets(contents)));
}

function attribute(id: string, value: Buffer): Buffer {
  return sequence(oid(id), setOf(value));
}

/** DER sorts the elements of a SET OF (X.690 §11.6). */
function setOfAll(...elements: Buffer[]): Buffer {
  return setOf(Buffer.concat(elements.sort((a, b) => Buffer.compare(a, b))));
}

/** Key of the MAC: RFC 7292 appendix B.2 with id 3. One block of SHA-256 is all that is needed. */
function deriveMacKey(password: string, salt: Buffer): Buffer {
  const text = Buffer.from(`${password}\0`, 'utf16le').swap16();
  const filled = (bytes: Buffer): Buffer =>
    Buffer.alloc(Math.ceil(bytes.length / BLOCK_BYTES) * BLOCK_BYTES, bytes);
  let hash = createHash('sha256').update(Buffer.alloc(BLOCK_BYTES, 3)).update(filled(salt)).update(filled(text)).digest();
  for (let round = 1; round < MAC_ITERATIONS; round += 1) hash = createHash('sha256').update(hash).digest();
  return hash.subarray(0, HASH_BYTES);
}
