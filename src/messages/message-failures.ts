import { Injectable } from '@nestjs/common';
import type { AuditEventType } from '../audit/audit-event.js';
import { AuditStream } from '../audit/audit.stream.js';
import { LifecycleService } from '../lifecycle/lifecycle.service.js';
import { Clock } from '../platform/clock/clock.js';
import { logger } from '../platform/telemetry/logger.js';
import { RateLimitGate } from '../rate-limit/rate-limit.gate.js';
import type { Judged } from './message-judge.js';
import type { MessageReason } from './message.decision.js';

/** How a message reached us. */
export interface Arrival {
  /** A copy that the broker keeps for newcomers: nobody has just sent it. */
  readonly retained: boolean;
  /** The broker says that it may have delivered it before. */
  readonly duplicate: boolean;
}

const EVENTS: Readonly<Partial<Record<MessageReason, AuditEventType>>> = {
  UNSIGNED: 'HMAC_FAILURE',
  BAD_SIGNATURE: 'HMAC_FAILURE',
  REPLAY: 'REPLAY_DETECTED',
};

/**
 * What becomes of a refused message. Only two kinds count towards a suspension, and only when they were just sent over the device's
 * own, authenticated link: a wrong signature of a device that has a secret, and a seen nonce under another signature. A challenge
 * that is used again is signed by the device itself, hence a fault and no attack.
 */
@Injectable()
export class MessageFailures {
  constructor(
    private readonly clock: Clock,
    private readonly audit: AuditStream,
    private readonly rateLimit: RateLimitGate,
    private readonly lifecycle: LifecycleService,
  ) {}

  refuse(judged: Judged, reason: MessageReason, arrival: Arrival): void {
    const { facts, address, judgement } = judged;
    if (!judgement.ok && judgement.forgotten === true) return this.gap(judged);
    const counts = (reason === 'BAD_SIGNATURE' && judged.hasSecret) || (reason === 'REPLAY' && !bearsChallenge(judged));
    if (facts !== null && counts && !arrival.retained && !arrival.duplicate && this.count(facts.id, reason)) return;
    this.audit.note({
      type: EVENTS[reason] ?? 'MESSAGE_REJECTED',
      tenantId: facts?.tenantId ?? null,
      deviceId: facts?.id ?? null,
      actor: { kind: 'device', id: address?.deviceId ?? null },
      details: { reason, channel: address?.channel ?? null, ...arrival },
    });
  }

  /** A message could not be verified while it was fresh. */
  gap(judged: Judged): void {
    this.audit.note({
      type: 'MESSAGE_GAP',
      tenantId: judged.facts?.tenantId ?? null,
      deviceId: judged.facts?.id ?? null,
      actor: { kind: 'system', id: 'message-gateway' },
      details: { channel: judged.address?.channel ?? null },
    });
  }

  /** @returns whether the audit row may be left out */
  private count(deviceId: string, reason: MessageReason): boolean {
    const { sheddable, suspend } = this.rateLimit.count({
      claimed: deviceId,
      proven: deviceId,
      address: 'message-gateway',
      possession: true,
      at: this.clock.now(),
    });
    if (suspend !== null) {
      this.lifecycle.suspendForFailures(suspend, reason).catch((error: unknown) => {
        logger.error({ err: error, deviceId: suspend }, 'a suspension after failures did not succeed');
      });
    }
    return sheddable;
  }
}

function bearsChallenge({ message }: Judged): boolean {
  const freshness = message?.signature?.freshness;
  return freshness !== undefined && !('ts' in freshness);
}
