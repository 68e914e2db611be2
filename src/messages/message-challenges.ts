import { randomBytes } from 'node:crypto';
import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { DeviceSecretsGate } from '../device-secrets/device-secrets.gate.js';
import { DevicesGate } from '../devices/devices.gate.js';
import type { Facts } from '../devices/facts.js';
import { Clock } from '../platform/clock/clock.js';
import { CONFIG, type Config } from '../platform/config/config.js';
import { DataKeys } from '../platform/crypto/data-keys.js';
import { logger } from '../platform/telemetry/logger.js';
import { parseIJson } from './canonical-json.js';
import { CHALLENGE_ANSWER, CHALLENGE_QUESTION, CHALLENGE_TTL_MS, makeChallenge, MAX_CHALLENGES, readChallenge } from './challenge.js';
import { GatewayPublisher } from './gateway-publisher.js';
import { MessageBudget } from './message-budget.js';
import type { Judgement } from './message.decision.js';
import { readTopic, type MessageAddress } from './message-topic.js';
import { isNonce, MAX_PAYLOAD_BYTES, signMessage, type IncomingMessage } from './signed-message.js';

/** What a device asks: as many challenges, in an answer that names this nonce. */
interface Question {
  readonly nonce: string;
  readonly count: number;
}

/** `challenged`: answered. `dropped`: too often, or a copy that nobody has just sent; the device asks again. */
export interface AnsweredQuestion {
  readonly outcome: 'challenged' | 'dropped' | 'MALFORMED';
  readonly judgement: Judgement;
  readonly address: MessageAddress;
  readonly message: null;
  readonly facts: Facts;
  readonly hasSecret: boolean;
}

/**
 * Challenges for devices without a clock. A question bears no signature, for there is nothing yet that would make it fresh: the
 * broker vouches for who asks, and a challenge is of no use to anybody without the device's secret.
 */
@Injectable()
export class MessageChallenges implements OnModuleInit {
  private key: Buffer | undefined;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly clock: Clock,
    private readonly keys: DataKeys,
    private readonly devices: DevicesGate,
    private readonly secrets: DeviceSecretsGate,
    private readonly budget: MessageBudget,
    private readonly publisher: GatewayPublisher,
  ) {}

  async onModuleInit(): Promise<void> {
    this.key = (await this.keys.current('message-challenges')).key;
  }

  /** When this challenge was given to this device, ms; null: never. */
  givenAt(deviceId: string, challenge: string): number | null {
    return this.key === undefined ? null : readChallenge(this.key, deviceId, challenge);
  }

  /** Null: no question of a device that may ask; the message is to be judged as any other. @throws when facts cannot be read */
  async answer(incoming: IncomingMessage, retained: boolean): Promise<AnsweredQuestion | null> {
    const { topicPrefix } = this.config.mqtt;
    const address = readTopic(incoming.topic, topicPrefix);
    if (typeof address === 'string' || address.channel !== CHALLENGE_QUESTION) return null;
    const { facts } = await this.devices.facts('device', address.deviceId);
    if (facts === null || !facts.clockless || facts.status !== 'ACTIVE' || facts.tenantStatus !== 'ACTIVE') return null;
    const secret = await this.secrets.signer(facts.id);
    if (secret === null) return null;
    const asked = { judgement: { ok: false, reason: 'MALFORMED' }, address, message: null, facts, hasSecret: true } as const;
    if (retained) return { ...asked, outcome: 'dropped' };
    const question = readQuestion(incoming.payload);
    if (question === null) return { ...asked, outcome: 'MALFORMED' };
    const now = this.clock.now();
    const challenges = Array.from({ length: this.budget.spendChallenges(facts, question.count) }, () => this.make(facts.id, now));
    if (challenges.length === 0) return { ...asked, outcome: 'dropped' };
    const topic = `${topicPrefix}/${facts.id}/${CHALLENGE_ANSWER}`;
    const data = { challenges, nonce: question.nonce, seconds: CHALLENGE_TTL_MS / 1000 };
    try {
      await this.publisher.publish(topic, Buffer.from(signMessage(secret.key, topic, { data }, now, randomBytes(16).toString('base64url')), 'utf8'));
      return { ...asked, outcome: 'challenged' };
    } catch (error) {
      // Not taken up again: it would hold back the messages behind it for an answer that is over within the minute.
      logger.warn({ err: error, deviceId: facts.id }, 'challenges could not be published; the device has to ask again');
      return { ...asked, outcome: 'dropped' };
    }
  }

  private make(deviceId: string, now: number): string {
    if (this.key === undefined) throw new Error('challenges are asked for before the program has started');
    return makeChallenge(this.key, deviceId, now);
  }
}

function readQuestion(payload: Buffer): Question | null {
  const value = payload.length > MAX_PAYLOAD_BYTES ? undefined : parseIJson(payload.toString('utf8'));
  if (typeof value !== 'object' || value === null || Array.isArray(value) || !('nonce' in value)) return null;
  const { nonce, count = 1 } = value;
  if (typeof nonce !== 'string' || !isNonce(nonce) || typeof count !== 'number') return null;
  return Number.isInteger(count) && count >= 1 && count <= MAX_CHALLENGES ? { nonce, count } : null;
}
