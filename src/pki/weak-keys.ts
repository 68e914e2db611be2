import type { KeyObject } from 'node:crypto';

const MIN_RSA_BITS = 2048;
const MAX_RSA_BITS = 4096;
const CURVES: readonly string[] = ['prime256v1', 'secp384r1'];

/** Keys whose private halves stand in standards, by their x coordinate or the start of their modulus (base64url). */
const PUBLISHED: readonly { readonly x: string; readonly where: string }[] = [
  { x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU', where: 'RFC 7515 A.3' },
  { x: 'MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4', where: 'RFC 7517 A.1' },
  { x: 'gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0', where: 'RFC 7517 A.2' },
];
const PUBLISHED_MODULI: readonly { readonly start: string; readonly where: string }[] = [
  { start: 'ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp', where: 'RFC 7515 A.2' },
  { start: '0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86z', where: 'RFC 7517 A.1' },
];

/** Fingerprint of CVE-2017-15361 (ROCA): the modulus is a power of 65537 modulo each of these primes. */
const ROCA_PRIMES = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157] as const;
const SMALL_PRIMES = primesBelow(2_000);

/** Why a key may not be certified; `null` for a good one. */
export function weaknessOf(key: KeyObject): string | null {
  switch (key.asymmetricKeyType) {
    case 'ec':
      return weaknessOfEc(key);
    case 'rsa':
      return weaknessOfRsa(key);
    default:
      return 'Keys are EC on P-256 or P-384, or RSA.';
  }
}

function weaknessOfEc(key: KeyObject): string | null {
  if (!CURVES.includes(key.asymmetricKeyDetails?.namedCurve ?? '')) return 'An EC key is on P-256 or P-384.';
  const { x } = key.export({ format: 'jwk' });
  const published = PUBLISHED.find((known) => known.x === x);
  return published === undefined ? null : `Its private half is published in ${published.where}.`;
}

function weaknessOfRsa(key: KeyObject): string | null {
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
  if (modulusLength < MIN_RSA_BITS || modulusLength > MAX_RSA_BITS) return `An RSA key has ${MIN_RSA_BITS} to ${MAX_RSA_BITS} bits.`;
  if (publicExponent < 65_537n || publicExponent % 2n === 0n || publicExponent >= 2n ** 256n) {
    return 'The exponent of an RSA key is odd and at least 65537.';
  }
  const { n = '' } = key.export({ format: 'jwk' });
  const published = PUBLISHED_MODULI.find((known) => n.startsWith(known.start));
  if (published !== undefined) return `Its private half is published in ${published.where}.`;
  const modulus = BigInt(`0x${Buffer.from(n, 'base64url').toString('hex')}`);
  if (SMALL_PRIMES.some((prime) => modulus % BigInt(prime) === 0n)) return 'The RSA modulus has a small factor.';
  if (isRoca(modulus)) return 'The RSA key was made by a library whose keys can be factored (CVE-2017-15361).';
  return null;
}

function isRoca(modulus: bigint): boolean {
  return ROCA_PRIMES.every((prime) => powersOf65537(prime).has(Number(modulus % BigInt(prime))));
}

const powers = new Map<number, ReadonlySet<number>>();

function powersOf65537(prime: number): ReadonlySet<number> {
  let set = powers.get(prime);
  if (set === undefined) {
    const seen = new Set<number>();
    for (let value = 1; !seen.has(value); value = (value * (65_537 % prime)) % prime) seen.add(value);
    set = seen;
    powers.set(prime, set);
  }
  return set;
}

function primesBelow(limit: number): number[] {
  const composite = new Uint8Array(limit);
  const primes: number[] = [];
  for (let candidate = 2; candidate < limit; candidate += 1) {
    if (composite[candidate] === 1) continue;
    primes.push(candidate);
    for (let multiple = candidate * candidate; multiple < limit; multiple += candidate) composite[multiple] = 1;
  }
  return primes;
}
