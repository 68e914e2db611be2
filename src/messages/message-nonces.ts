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
 * another signature it is a replay at once. A challenge is kept in the same way beside the nonce of its message.
 */
@Injectable()
export class MessageNonces {
  constructor(private readonly store: KeyValueStore) {}

  /** @throws StoreUnavailableError: the message must not be accepted. */
  async claim(door: Door, message: ReadMessage, owner: string): Promise<Claim> {
    const { key, challenge, mark } = nameOf(door, message);
    const claim = await this.store.claim(key, mark, owner, NONCE_LEASE_MS, NONCE_TTL_MS);
    if (challenge === null || claim !== 'claimed') return claim;
    const spent = await this.store.claim(challenge, mark, owner, NONCE_LEASE_MS, NONCE_TTL_MS);
    // Done under this very signature: somebody was stopped between the two settlements.
    return spent === 'done' ? 'claimed' : spent;
  }

  /** The message was handed on. @throws StoreUnavailableError */
  async settle(door: Door, message: ReadMessage): Promise<void> {
    const { key, challenge, mark } = nameOf(door, message);
    if (challenge !== null) await this.store.settle(challenge, mark, NONCE_TTL_MS);
    await this.store.settle(key, mark, NONCE_TTL_MS);
  }
}

function nameOf(door: Door, { address, signature }: ReadMessage): { key: string; challenge: string | null; mark: string } {
  if (signature === null) throw new Error('a message without signature has no nonce');
  const { freshness, nonce, sig } = signature;
  return {
    key: `nonce:${door}:${address.deviceId}:${nonce}`,
    challenge: 'ts' in freshness ? null : `challenge:${door}:${address.deviceId}:${freshness.challenge}`,
    mark: sig,
  };
}
