import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

/** A challenge that was not used by then is over. */
export const CHALLENGE_TTL_MS = 60_000;
/** Given out at one question. */
export const MAX_CHALLENGES = 16;
/** A device marked as without a clock asks here, below its own root, and is answered there. */
export const CHALLENGE_QUESTION = 'events/challenge';
export const CHALLENGE_ANSWER = 'config/challenge';

const TIME_BYTES = 6;
const HEAD_BYTES = 17;
const SEAL_BYTES = 16;
/** Without a rest in base64url: there is one way to write it. */
const BYTES = HEAD_BYTES + SEAL_BYTES;

/**
 * A challenge for one device: when it was made (48 bits, milliseconds), 88 random bits, and a seal over both and the device (HMAC-SHA256, cut
 * to 128 bits), in base64url, 44 characters. Nothing is kept until it is used.
 * @param key 32 bytes, shared by all instances
 */
export function makeChallenge(key: Buffer, deviceId: string, now: number): string {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUIntBE(now, 0, TIME_BYTES);
  randomBytes(HEAD_BYTES - TIME_BYTES).copy(head, TIME_BYTES);
  return Buffer.concat([head, sealOf(key, deviceId, head)]).toString('base64url');
}

/** When the challenge was made for this device, in milliseconds; null: it never was. */
export function readChallenge(key: Buffer, deviceId: string, challenge: string): number | null {
  const bytes = Buffer.from(challenge, 'base64url');
  if (bytes.length !== BYTES || bytes.toString('base64url') !== challenge) return null;
  const head = bytes.subarray(0, HEAD_BYTES);
  return timingSafeEqual(bytes.subarray(HEAD_BYTES), sealOf(key, deviceId, head)) ? head.readUIntBE(0, TIME_BYTES) : null;
}

function sealOf(key: Buffer, deviceId: string, head: Buffer): Buffer {
  return createHmac('sha256', key).update(`challenge:1\n${deviceId}\n`, 'utf8').update(head).digest().subarray(0, SEAL_BYTES);
}
