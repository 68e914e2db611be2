import { randomBytes } from 'node:crypto';

/** `prefix` + 32 random bytes as base64url (43 characters). */
export function randomSecret(prefix = ''): string {
  return prefix + randomBytes(32).toString('base64url');
}
