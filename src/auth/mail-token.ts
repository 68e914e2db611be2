import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { DataKey } from '../platform/crypto/data-keys.js';

/*
 * What goes out by mail: a prefix, the id of its row (16 bytes), `_`, 32 random bytes, both base64url. A keyed digest is kept.
 */

export const MAIL_TOKEN_PURPOSE = 'mail-token';

/** `pci_` invites, `pcp_` recovers a password, `pce_` confirms an e-mail address. */
export type MailTokenPrefix = 'pci_' | 'pcp_' | 'pce_';

const SHAPE = /^(pc[ipe]_)([A-Za-z0-9_-]{21}[AQgw])_([A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])$/;

export interface MailToken {
  readonly id: string;
  readonly secret: string;
}

export interface KeptToken {
  readonly digest: Buffer;
  readonly dataKeyId: string;
}

export function newMailToken(prefix: MailTokenPrefix, id: string, key: DataKey): KeptToken & { readonly token: string } {
  const secret = randomBytes(32).toString('base64url');
  const token = `${prefix}${Buffer.from(id.replaceAll('-', ''), 'hex').toString('base64url')}_${secret}`;
  return { token, digest: digestOf(prefix, key, id, secret), dataKeyId: key.id };
}

/** `null` for whatever is not a token of this kind. */
export function parseMailToken(prefix: MailTokenPrefix, token: string): MailToken | null {
  const [, kind, id, secret] = SHAPE.exec(token) ?? [];
  if (kind !== prefix || id === undefined || secret === undefined) return null;
  const hex = Buffer.from(id, 'base64url').toString('hex');
  return { id: hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5'), secret };
}

/** Whether the token is the one of which this digest was kept. */
export function isKept(prefix: MailTokenPrefix, key: DataKey | null, { id, secret }: MailToken, kept: Buffer): boolean {
  if (key?.purpose !== MAIL_TOKEN_PURPOSE) return false;
  const digest = digestOf(prefix, key, id, secret);
  return digest.length === kept.length && timingSafeEqual(digest, kept);
}

function digestOf(prefix: MailTokenPrefix, { key }: DataKey, id: string, secret: string): Buffer {
  const hmac = createHmac('sha256', key);
  for (const part of [prefix, id, secret]) hmac.update(`${Buffer.byteLength(part)}:${part}`);
  return hmac.digest();
}
