import { Inject, Injectable } from '@nestjs/common';
import type { Counter } from 'prom-client';
import { CONFIG, type Config } from '../platform/config/config.js';
import { Metrics } from '../platform/telemetry/metrics.js';
import { logger } from '../platform/telemetry/logger.js';
import { CommandAcks } from './command-acks.js';
import { DeviceReports } from './device-reports.js';
import { GatewayPublisher } from './gateway-publisher.js';
import { MessageBudget } from './message-budget.js';
import { CHALLENGE_QUESTION } from './challenge.js';
import { MessageChallenges } from './message-challenges.js';
import { MessageFailures, type Arrival } from './message-failures.js';
import { MessageJudge, type Judged } from './message-judge.js';
import { MessageNonces } from './message-nonces.js';
import type { MessageReason } from './message.decision.js';
import { verifiedTopic } from './message-topic.js';
import type { IncomingMessage, ReadMessage } from './signed-message.js';

export interface Arrived extends Arrival {
  /** The message was taken up before and could not be dealt with. */
  readonly again: boolean;
}

/** `later`: nothing is decided, and it must come again. Everything else ends with an acknowledgement. */
export type Intake = 'verified' | 'known' | 'challenged' | 'dropped' | 'later' | MessageReason;

/**
 * The message path, one straight line: judge, budget, nonce, verified copy, recorded state, nonce done. Only then is the message
 * acknowledged, so that a crash anywhere brings it again; the copy then bears the same (deviceId, nonce).
 */
@Injectable()
export class MessageIntake {
  private readonly outcomes: Counter<'outcome'>;
  /** Nonces under way in this process: a second copy waits its turn. */
  private readonly underWay = new Set<string>();

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly challenges: MessageChallenges,
    private readonly judge: MessageJudge,
    private readonly nonces: MessageNonces,
    private readonly budget: MessageBudget,
    private readonly failures: MessageFailures,
    private readonly reports: DeviceReports,
    private readonly acks: CommandAcks,
    private readonly publisher: GatewayPublisher,
    metrics: Metrics,
  ) {
    this.outcomes = metrics.counter('portcullis_messages_total', 'Messages of devices, by what became of them.', ['outcome']);
  }

  /** Never throws. */
  async take(incoming: IncomingMessage, arrived: Arrived): Promise<Intake> {
    let outcome: Intake;
    try {
      outcome = await this.decide(incoming, arrived);
    } catch (error) {
      logger.warn({ err: error, topic: incoming.topic }, 'a message could not be dealt with; it is taken up again');
      outcome = 'later';
    }
    this.outcomes.inc({ outcome });
    return outcome;
  }

  private async decide(incoming: IncomingMessage, arrived: Arrived): Promise<Intake> {
    const answered = incoming.topic.endsWith(CHALLENGE_QUESTION) ? await this.challenges.answer(incoming, arrived.retained) : null;
    if (answered !== null) return answered.outcome === 'MALFORMED' ? this.refuse(answered, 'MALFORMED', arrived) : answered.outcome;
    const judged = await this.judge.judge(incoming);
    const { judgement, message, facts } = judged;
    if (!judgement.ok) return this.refuse(judged, judgement.reason, arrived);
    if (message === null || facts === null) throw new Error('a message was accepted of which nothing is known');
    const { signature } = message;
    if (!arrived.again && !this.budget.spend(facts)) return 'dropped';
    if (signature === null) {
      await this.publisher.publish(verifiedTopic(facts.tenantId, message.address), message.verified);
      return 'verified';
    }
    const name = `${facts.id}:${signature.nonce}`;
    if (this.underWay.has(name)) return 'later';
    this.underWay.add(name);
    try {
      return await this.handOn(judged, message, judgement.at, arrived);
    } finally {
      this.underWay.delete(name);
    }
  }

  private async handOn(judged: Judged, message: ReadMessage, at: number, arrived: Arrived): Promise<Intake> {
    const { facts } = judged;
    const { signature, address } = message;
    if (facts === null || signature === null) throw new Error('only a signed message of a known device is handed on');
    switch (await this.nonces.claim('gateway', message, this.config.messages.gatewayId)) {
      case 'other':
        return this.refuse(judged, 'REPLAY', arrived);
      case 'done':
        return 'known';
      case 'held':
        return 'later';
      case 'claimed':
    }
    const { nonce, sig, freshness } = signature;
    const opaque = message.content === null && 'ts' in freshness ? { ts: String(freshness.ts), nonce, sig } : undefined;
    await this.publisher.publish(verifiedTopic(facts.tenantId, address), message.verified, opaque);
    this.reports.noteSeen(facts);
    const { status } = message.content ?? {};
    if (address.kind === 'status' && typeof status === 'string') await this.reports.recordStatus(facts, status, at);
    if (address.kind === 'ack' && message.content !== null) await this.acks.record(facts, message.content);
    await this.nonces.settle('gateway', message);
    return 'verified';
  }

  private refuse(judged: Judged, reason: MessageReason, arrived: Arrived & { again?: boolean }): Intake {
    // It was fresh when it came: we could not deal with it in time.
    if (reason === 'STALE' && arrived.again === true) this.failures.gap(judged);
    else this.failures.refuse(judged, reason, { retained: arrived.retained, duplicate: arrived.duplicate });
    return reason;
  }
}
