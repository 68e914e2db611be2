import { Injectable } from '@nestjs/common';
import { type Claim, KeyValueStore } from '../platform/redis/key-value.js';
import type { ReadMessage } from './signed-message.js';

/** Longer than a message can be fresh (300 s back and 60 s ahead), with room for clocks that differ. */
export const NONCE_TTL_MS = 600_000;
/** Who holds a nonce must have handed the message on within this; then another may take it over. */
export const NONCE_LEASE_MS = 10_000;

/** Doors have nonces of their own: that a person verifies a message takes nothing from the gateway. */
export type Door = 'gateway' | 'rest';

/**
 * Every nonce of a device once. It is pending under the message's signature until the message was handed on, then done; under
 * another signature it is a replay at once.
 */
@Injectable()
export class MessageNonces {
  constructor(private readonly store: KeyValueStore) {}

  /** @throws StoreUnavailableError: the message must not be accepted. */
  claim(door: Door, message: ReadMessage, owner: string): Promise<Claim> {
    const { key, mark } = nameOf(door, message);
    return this.store.claim(key, mark, owner, NONCE_LEASE_MS, NONCE_TTL_MS);
  }

  /** The message was handed on. @throws StoreUnavailableError */
  settle(door: Door, message: ReadMessage): Promise<void> {
    const { key, mark } = nameOf(door, message);
    return this.store.settle(key, mark, NONCE_TTL_MS);
  }
}

function nameOf(door: Door, { address, signature }: ReadMessage): { key: string; mark: string } {
  if (signature === null) throw new Error('a message without signature has no nonce');
  return { key: `nonce:${door}:${address.deviceId}:${signature.nonce}`, mark: signature.sig };
}
