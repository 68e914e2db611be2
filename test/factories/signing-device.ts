import { randomBytes } from 'node:crypto';
import type { JsonObject } from '../../src/messages/canonical-json.js';
import { signMessage } from '../../src/messages/signed-message.js';
import type { RegisteredDevice } from './app.js';

export function nonce(): string {
  return randomBytes(16).toString('base64url');
}

/** A message as the device would send it on a channel of its own. */
export function signedBy(device: RegisteredDevice, channel: string, body: JsonObject, more: { ts?: number; nonce?: string; secret?: string } = {}): string {
  const key = Buffer.from(more.secret ?? device.hmac_secret, 'hex');
  return signMessage(key, topicOf(device, channel), body, more.ts ?? Date.now(), more.nonce ?? nonce());
}

export function topicOf(device: RegisteredDevice, channel: string): string {
  return `devices/${device.id}/${channel}`;
}
