import type { JsonValue } from './fingerprint.js';

/** Members that hold what is shown once. */
const NAMES = new Set([
  'client_secret', 'access_token', 'refresh_token', 'hmac_secret', 'secret', 'token', 'claim', 'password',
  'privateKey', 'private_key', 'pkcs12',
]);
/** Values that are one whatever their member is called: our secrets, JSON web tokens, private keys in PEM. */
const VALUE = /^(?:pc[scx]|pat)_|^eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.|-----BEGIN [A-Z ]*PRIVATE KEY-----/;

/** Whether an answer holds a one-time secret, at any depth: it is then kept for minutes instead of a day. */
export function holdsSecret(answer: JsonValue | undefined): boolean {
  if (typeof answer === 'string') return VALUE.test(answer);
  if (answer === null || typeof answer !== 'object') return false;
  return Object.entries(answer).some(([name, value]) =>
    (NAMES.has(name) && typeof value === 'string') || holdsSecret(value));
}
