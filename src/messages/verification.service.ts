import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { StoreUnavailableError } from '../platform/redis/key-value.js';
import { MessageJudge } from './message-judge.js';
import { MessageNonces } from './message-nonces.js';
import type { MessageReason } from './message.decision.js';
import type { JsonObject } from './canonical-json.js';
import { messagesError } from './messages.errors.js';
import { bodyOf, type IncomingMessage } from './signed-message.js';

export interface Verification {
  readonly verified: boolean;
  readonly reason?: MessageReason;
  readonly deviceId: string | null;
  readonly channel: string | null;
  readonly body?: JsonObject;
}

/** Verifies a message for somebody who got it another way. Spends the nonce at this door, and never counts towards a suspension. */
@Injectable()
export class VerificationService {
  constructor(
    private readonly judge: MessageJudge,
    private readonly nonces: MessageNonces,
  ) {}

  /** @throws MESSAGE_NOT_VERIFIABLE while nonces cannot be kept */
  async verify(tenantId: string, incoming: IncomingMessage): Promise<Verification> {
    const { judgement, address, message } = await this.judge.judge(incoming, tenantId);
    const about = { deviceId: address?.deviceId ?? null, channel: address?.channel ?? null };
    if (!judgement.ok) return { verified: false, reason: judgement.reason, ...about };
    if (message === null) throw new Error('a message was accepted that was not read');
    const body = bodyOf(message) ?? undefined;
    if (message.signature === null) return { verified: false, reason: 'UNSIGNED', ...about };
    try {
      // A new owner each time: of any number of copies one is first, and all others are replays.
      const claim = await this.nonces.claim('rest', message, randomUUID());
      if (claim !== 'claimed') return { verified: false, reason: 'REPLAY', ...about };
      await this.nonces.settle('rest', message);
    } catch (error) {
      if (error instanceof StoreUnavailableError) throw messagesError('MESSAGE_NOT_VERIFIABLE', { cause: error });
      throw error;
    }
    return { verified: true, ...about, ...(body === undefined ? {} : { body }) };
  }
}
