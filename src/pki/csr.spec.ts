import { createPublicKey, generateKeyPairSync, randomBytes, randomInt } from 'node:crypto';
import { Pkcs10CertificateRequest } from '@peculiar/x509';
import { AppError } from '../platform/problem/app-error.js';
import { authorityRequest } from './authority-request.js';
import { readCsr } from './csr.js';
import { toPem } from './der.js';
import { algorithmOf, publicKeyOf, signBytes, spkiOf } from './keys.js';

const MUTATIONS = 600;

const LABEL = 'CERTIFICATE REQUEST';
const derOf = (pem: string): Buffer => Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64');

async function requestOf(kind: string): Promise<{ pem: string; spki: Buffer }> {
  const { privateKey } = kind === 'RSA' ? generateKeyPairSync('rsa', { modulusLength: 2048 }) : generateKeyPairSync('ec', { namedCurve: kind });
  const spki = spkiOf(privateKey);
  const algorithm = algorithmOf(createPublicKey({ key: spki, type: 'spki', format: 'der' }));
  return { pem: await authorityRequest({ commonName: 'anybody', organization: 'any', spki, algorithm }, (bytes) => signBytes(algorithm, privateKey, bytes)), spki };
}

describe.each(['P-256', 'P-384', 'RSA'])('a certificate request (%s)', (kind) => {
  it('gives its key as OpenSSL writes it', async () => {
    const { pem, spki } = await requestOf(kind);
    expect(await readCsr(pem)).toEqual(spki);
    expect(publicKeyOf(spki).equals(createPublicKey({ key: spki, type: 'spki', format: 'der' }))).toBe(true);
  });

  it('that was changed anywhere is refused with a code, or is one that another reader takes too, for the same key', async () => {
    const { pem } = await requestOf(kind);
    const good = derOf(pem);
    const codes = new Map<string, number>();
    for (let i = 0; i < MUTATIONS; i += 1) {
      const bytes = Buffer.from(good);
      for (let flips = randomInt(1, 4); flips > 0; flips -= 1) bytes[randomInt(bytes.length)] = randomInt(256);
      const cut = i % 7 === 0 ? bytes.subarray(0, randomInt(bytes.length)) : bytes;
      const answer: Buffer | string = await readCsr(toPem(LABEL, cut)).catch((error: unknown) => (error instanceof AppError ? error.code : String(error)));
      if (typeof answer === 'string') {
        codes.set(answer, (codes.get(answer) ?? 0) + 1);
        continue;
      }
      const other = new Pkcs10CertificateRequest(new Uint8Array(cut));
      expect(await other.verify()).toBe(true);
      expect(Buffer.from(other.publicKey.rawData)).toEqual(answer);
    }
    expect([...codes.keys()].filter((code) => !['CSR_MALFORMED', 'CSR_SIGNATURE', 'KEY_WEAK'].includes(code))).toEqual([]);
    expect(codes.get('CSR_SIGNATURE')).toBeGreaterThan(0);
    expect(codes.get('CSR_MALFORMED')).toBeGreaterThan(0);
  });
});

describe('what the signature of a request does not cover', () => {
  const refusal = (der: Buffer): Promise<string> => readCsr(toPem(LABEL, der)).then(() => 'taken', (error: unknown) => (error instanceof AppError ? error.code : String(error)));

  it('is refused where it is not what belongs there: parameters of RSA other than NULL', async () => {
    const der = derOf((await requestOf('RSA')).pem);
    const parameters = der.lastIndexOf(Buffer.from('2a864886f70d01010b0500', 'hex')) + 9;
    expect(der[parameters]).toBe(0x05);
    for (const tag of [0x00, 0x04, 0x0f, 0x1e, 0x30]) {
      const other = Buffer.from(der);
      other[parameters] = tag;
      expect(await refusal(other)).toBe('CSR_MALFORMED');
    }
    expect(await refusal(der)).toBe('taken');
  });
});

describe('a key that nobody may have', () => {
  it('is refused before its proof is looked at, which would take long for an enormous one', async () => {
    const n = randomBytes(2048);
    n[0] = 0xff;
    n[n.length - 1] = 0xff;
    const spki = spkiOf(createPublicKey({ key: { kty: 'RSA', n: n.toString('base64url'), e: 'AQAB' }, format: 'jwk' }));
    const pem = await authorityRequest({ commonName: 'huge', organization: 'any', spki, algorithm: 'rsa-sha256' }, () => Promise.resolve(Buffer.alloc(2048, 7)));
    await expect(readCsr(pem)).rejects.toMatchObject({ code: 'KEY_WEAK', detail: 'An RSA key has 2048 to 4096 bits.' });
  });
});

describe('a public key', () => {
  it('that is no point of its curve is none', () => {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const spki = spkiOf(publicKey);
    spki[spki.length - 1] = (spki.at(-1) ?? 0) ^ 1;
    expect(() => publicKeyOf(spki)).toThrow();
  });

  it('is the same whichever way it was read', () => {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    expect(publicKeyOf(spkiOf(publicKey)).equals(publicKey)).toBe(true);
  });
});
