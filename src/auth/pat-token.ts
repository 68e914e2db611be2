import { createHmac, randomBytes } from 'node:crypto';

/*
 * A personal access token is `pat_` + its id (16 bytes) + `_` + 32 random bytes, both base64url. The id says which row to look at;
 * only a keyed digest of the rest is kept.
 */

const SHAPE = /^pat_([A-Za-z0-9_-]{21}[AQgw])_([A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])$/;
const RANDOM_BYTES = 32;

/** Purpose of the data key under which tokens are digested. */
export const PAT_PURPOSE = 'personal-access-token';

export interface PatParts {
  readonly id: string;
  readonly secret: string;
}

export function newPat(id: string): { token: string; secret: string } {
  const secret = randomBytes(RANDOM_BYTES).toString('base64url');
  return { token: `pat_${Buffer.from(id.replaceAll('-', ''), 'hex').toString('base64url')}_${secret}`, secret };
}

/** `null` for whatever has not exactly this form. */
export function parsePat(token: string): PatParts | null {
  const [, id, secret] = SHAPE.exec(token) ?? [];
  if (id === undefined || secret === undefined) return null;
  const hex = Buffer.from(id, 'base64url').toString('hex');
  return { id: hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5'), secret };
}

/** HMAC-SHA256 over owner, token and secret: a digest that is moved to another row, or to another owner, verifies nothing. */
export function digestPat(key: Buffer, userId: string, id: string, secret: string): Buffer {
  const hmac = createHmac('sha256', key);
  for (const part of [userId, id, secret]) hmac.update(`${Buffer.byteLength(part)}:${part}`);
  return hmac.digest();
}
