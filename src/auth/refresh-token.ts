import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

/*
 * A refresh token is `pcr_` + base64url(account id, session id, 32 random bytes, 16-byte tag). It is opaque to its bearer; the
 * ids say which row to lock, and the tag says that the token was ours once: a token that is genuine but not the newest of its
 * session has been used before, however long ago, without any list of spent tokens.
 */

const PREFIX = 'pcr_';
const ID_BYTES = 16;
const RANDOM_BYTES = 32;
const TAG_BYTES = 16;
const TAGGED_BYTES = 2 * ID_BYTES + RANDOM_BYTES;
const TOKEN_BYTES = TAGGED_BYTES + TAG_BYTES;

export interface RefreshToken {
  readonly userId: string;
  readonly sessionId: string;
  readonly bytes: Buffer;
}

/** @param key 32 bytes */
export function makeRefreshToken(key: Buffer, userId: string, sessionId: string): { token: string; bytes: Buffer } {
  const body = Buffer.concat([uuidBytes(userId), uuidBytes(sessionId), randomBytes(RANDOM_BYTES)]);
  const bytes = Buffer.concat([body, tag(key, body)]);
  return { token: PREFIX + bytes.toString('base64url'), bytes };
}

/** Takes a token apart; `null` for anything that is not exactly of its form. Says nothing about whether it is genuine. */
export function parseRefreshToken(text: string): RefreshToken | null {
  if (!text.startsWith(PREFIX)) return null;
  const encoded = text.slice(PREFIX.length);
  const bytes = Buffer.from(encoded, 'base64url');
  // One token, one spelling: Buffer would forgive padding, other alphabets and stray characters.
  if (bytes.length !== TOKEN_BYTES || bytes.toString('base64url') !== encoded) return null;
  return { userId: uuidText(bytes.subarray(0, ID_BYTES)), sessionId: uuidText(bytes.subarray(ID_BYTES, 2 * ID_BYTES)), bytes };
}

/** Whether this installation made the token, now or earlier. */
export function isGenuine(key: Buffer, { bytes }: RefreshToken): boolean {
  return timingSafeEqual(tag(key, bytes.subarray(0, TAGGED_BYTES)), bytes.subarray(TAGGED_BYTES));
}

/** What is kept of the newest token of a session: 32 bytes. */
export function digestOf(key: Buffer, bytes: Buffer): Buffer {
  return createHmac('sha256', key).update('portcullis refresh token\n').update(bytes).digest();
}

function tag(key: Buffer, body: Buffer): Buffer {
  return createHmac('sha256', key).update('portcullis refresh tag\n').update(body).digest().subarray(0, TAG_BYTES);
}

function uuidBytes(id: string): Buffer {
  return Buffer.from(id.replaceAll('-', ''), 'hex');
}

function uuidText(bytes: Buffer): string {
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
