import { createHash, timingSafeEqual } from 'node:crypto';

/** Compares two secrets in time that depends on neither their contents nor where they differ. */
export function equalSecrets(a: string | Buffer, b: string | Buffer): boolean {
  // Hashing first gives both sides one length, so that the length of the right secret does not leak either.
  const left = createHash('sha256').update(a).digest();
  const right = createHash('sha256').update(b).digest();
  return timingSafeEqual(left, right);
}

/** Compares with every candidate, so that the time does not tell which one matched. */
export function equalsAny(given: string, candidates: readonly string[]): boolean {
  let found = false;
  for (const candidate of candidates) found = equalSecrets(given, candidate) || found;
  return found;
}
