import type { Facts } from '../devices/facts.js';
import { CHALLENGE_TTL_MS } from './challenge.js';
import type { MessageAddress } from './message-topic.js';
import { fits, isSignature, readMessage, type IncomingMessage, type ReadMessage, type Signature } from './signed-message.js';

export const MESSAGE_REASONS = {
  UNSIGNED: 'The message bears no signature.',
  BAD_SIGNATURE: 'No valid HMAC secret of the device made this signature over this topic, time, nonce and body.',
  STALE: 'The time of the message is more than 300 s ago, or before the nonce store began to remember; or its challenge was not given to this device within the last 60 s.',
  FUTURE: 'The time of the message is more than 60 s ahead.',
  REPLAY: 'The nonce, or the challenge, was seen before.',
  MALFORMED: 'No message of the protocol: not I-JSON, too large, members missing or of the wrong type.',
  WRONG_TOPIC: 'The topic is no channel of a device that is known here.',
  DEVICE_STATE: 'The device is not ACTIVE, or its tenant is frozen.',
} as const;
export type MessageReason = keyof typeof MESSAGE_REASONS;

/** How far the time of a message may lie back and ahead, in milliseconds. */
export const OLDEST_MS = 300_000;
export const NEWEST_MS = 60_000;

/** A secret that verifies now. */
export interface VerificationKey {
  readonly id: string;
  /** 32 bytes. */
  readonly key: Buffer;
  /** Milliseconds; null: until it is rotated. */
  readonly expiresAt: number | null;
}

export type DeviceStanding = Pick<Facts, 'status' | 'tenantStatus' | 'clockless'>;

export interface JudgeOptions {
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** False: a message without signature is let through, marked. Development only. */
  readonly requireSignatures: boolean;
  /** Times before this are refused, because nobody remembers their nonces (ms). */
  readonly rememberedSince: number;
  /** When a challenge was given to this device (ms); null: it never was. */
  readonly challengeGivenAt: (deviceId: string, challenge: string) => number | null;
}

export type Judgement =
  /** `secretId` is null for a message without signature. `at`: its time, or when its challenge was given (ms). */
  | { readonly ok: true; readonly secretId: string | null; readonly at: number }
  /** `forgotten`: refused for no fault of its own, for nobody remembers the nonces of its time. */
  | { readonly ok: false; readonly reason: MessageReason; readonly forgotten?: true };

/**
 * Judges a message that was read: the device's standing, then the signature, then the time. Pure; whether the nonce is new is the
 * one question that is left.
 * @param device null: unknown
 */
export function judgeMessage(
  message: ReadMessage,
  device: DeviceStanding | null,
  keys: readonly VerificationKey[],
  options: JudgeOptions,
): Judgement {
  const { now, requireSignatures } = options;
  if (device === null) return refuse('WRONG_TOPIC');
  if (device.status !== 'ACTIVE' || device.tenantStatus !== 'ACTIVE') return refuse('DEVICE_STATE');
  const { signature, content, address } = message;
  if (signature === null) {
    if (requireSignatures) return refuse('UNSIGNED');
    return content !== null && fits(address, content) ? { ok: true, secretId: null, at: now } : refuse('MALFORMED');
  }
  const secretId = signerOf(signature, keys, now);
  if (secretId === null) return refuse('BAD_SIGNATURE');
  const at = timeOf(message.address, signature, device, options);
  if (at === null) return refuse('STALE');
  if (at > now + NEWEST_MS) return refuse('FUTURE');
  return at < options.rememberedSince ? { ok: false, reason: 'STALE', forgotten: true } : { ok: true, secretId, at };
}

/** Null: too long ago, or no challenge of this device. That neither was used before is asked of the store, as with the nonce. */
function timeOf({ deviceId }: MessageAddress, { freshness }: Signature, device: DeviceStanding, { now, challengeGivenAt }: JudgeOptions): number | null {
  if ('ts' in freshness) return freshness.ts < now - OLDEST_MS ? null : freshness.ts;
  const at = device.clockless ? challengeGivenAt(deviceId, freshness.challenge) : null;
  return at === null || at < now - CHALLENGE_TTL_MS ? null : at;
}

/** The whole verifier but for the nonce: bytes and topic, device, keys and clock in, verdict out. Never throws. */
export function verifyMessage(
  message: IncomingMessage,
  prefix: string,
  device: DeviceStanding | null,
  keys: readonly VerificationKey[],
  options: JudgeOptions,
): { readonly address: MessageAddress | null; readonly message: ReadMessage | null; readonly judgement: Judgement } {
  const read = readMessage(message, prefix);
  if ('reason' in read) return { address: read.address, message: null, judgement: refuse(read.reason) };
  return { address: read.address, message: read, judgement: judgeMessage(read, device, keys, options) };
}

/** Every key is tried, so that the time does not tell which one it was. */
function signerOf({ input, sig }: Signature, keys: readonly VerificationKey[], now: number): string | null {
  let signer: string | null = null;
  for (const { id, key, expiresAt } of keys) {
    if (expiresAt !== null && expiresAt <= now) continue;
    if (isSignature(key, input, sig) && signer === null) signer = id;
  }
  return signer;
}

function refuse(reason: MessageReason): Judgement {
  return { ok: false, reason };
}
