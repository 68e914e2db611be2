/**
 * Signed messages in Node: the protocol of ../device-protocol.md with nothing but node:crypto.
 *
 *   node device.mjs sign <secret hex> <topic> <ts> <nonce> '<body json>'     prints the signature
 *   node device.mjs sign-challenge <secret hex> <topic> <challenge> <nonce> '<body json>'    as well, in the challenge form
 *   node device.mjs message <secret hex> <topic> '<body json>'               prints a message, ready to publish
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { pathToFileURL } from 'node:url';

/** RFC 8785. JSON.stringify writes strings and numbers as it demands. */
export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  return `{${Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(',')}}`;
}

/** @param fresh the time in milliseconds; with the tag `v1c` a challenge */
export function sign(secret, topic, fresh, nonce, body, tag = 'v1') {
  const input = `${tag}\n${topic}\n${fresh}\n${nonce}\n${canonical(body)}`;
  return createHmac('sha256', Buffer.from(secret, 'hex')).update(input, 'utf8').digest('hex');
}

export function message(secret, topic, body) {
  const ts = Date.now();
  const nonce = randomBytes(16).toString('base64url');
  return JSON.stringify({ ts, nonce, ...body, sig: sign(secret, topic, ts, nonce, body) });
}

/** Of a device without a clock: signs a challenge, once, in place of the time. */
export function challengeMessage(secret, topic, challenge, body) {
  const nonce = randomBytes(16).toString('base64url');
  return JSON.stringify({ challenge, nonce, ...body, sig: sign(secret, topic, challenge, nonce, body, 'v1c') });
}

/** What the cloud answered on `config/challenge` to the question with this nonce: challenges, and the time; null: not to be believed. */
export function challengesOf(secret, topic, payload, nonce) {
  const { ts } = JSON.parse(payload);
  // Its own nonce in the answer makes it fresh: no clock is needed.
  const data = verify(secret, topic, payload, ts)?.data;
  return data?.nonce === nonce ? { challenges: data.challenges, now: ts } : null;
}

/** The body of a message from the cloud; null if it is not to be believed. Remember each nonce for six minutes, and each cmdId. */
export function verify(secret, topic, payload, now = Date.now()) {
  const { ts, nonce, sig, ...body } = JSON.parse(payload);
  if (!Number.isSafeInteger(ts) || ts < now - 300_000 || ts > now + 60_000 || !/^[0-9a-f]{64}$/.test(sig)) return null;
  return timingSafeEqual(Buffer.from(sig, 'hex'), Buffer.from(sign(secret, topic, ts, nonce, body), 'hex')) ? body : null;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [verb, secret, topic, ...rest] = process.argv.slice(2);
  if (verb === 'sign') console.log(sign(secret, topic, rest[0], rest[1], JSON.parse(rest[2])));
  else if (verb === 'sign-challenge') console.log(sign(secret, topic, rest[0], rest[1], JSON.parse(rest[2]), 'v1c'));
  else if (verb === 'message') console.log(message(secret, topic, JSON.parse(rest[0])));
  else process.exitCode = 2;
}
