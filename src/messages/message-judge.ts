import { Inject, Injectable } from '@nestjs/common';
import { DeviceSecretsGate } from '../device-secrets/device-secrets.gate.js';
import { DevicesGate } from '../devices/devices.gate.js';
import type { Facts } from '../devices/facts.js';
import { Clock } from '../platform/clock/clock.js';
import { CONFIG, type Config } from '../platform/config/config.js';
import { KeyValueStore } from '../platform/redis/key-value.js';
import { MessageChallenges } from './message-challenges.js';
import { judgeMessage, type Judgement, type JudgeOptions } from './message.decision.js';
import type { MessageAddress } from './message-topic.js';
import { readMessage, type IncomingMessage, type ReadMessage } from './signed-message.js';

/** A message as judged, but for its nonce. */
export interface Judged {
  readonly judgement: Judgement;
  /** Null: the topic named none. */
  readonly address: MessageAddress | null;
  /** Null: malformed. */
  readonly message: ReadMessage | null;
  /** Null: no such device. */
  readonly facts: Facts | null;
  /** Whether the device has a secret with which it could have signed. */
  readonly hasSecret: boolean;
}

/** Gathers what the verifier needs, then asks it. */
@Injectable()
export class MessageJudge {
  private readonly challengeGivenAt: JudgeOptions['challengeGivenAt'];

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly clock: Clock,
    private readonly store: KeyValueStore,
    private readonly devices: DevicesGate,
    private readonly secrets: DeviceSecretsGate,
    private readonly challenges: MessageChallenges,
  ) {
    this.challengeGivenAt = (deviceId, challenge) => this.challenges.givenAt(deviceId, challenge);
  }

  /**
   * @param tenantId only devices of this tenant are known; left out, all are
   * @throws when facts or secrets cannot be read: the message is then neither accepted nor refused.
   */
  async judge(incoming: IncomingMessage, tenantId?: string): Promise<Judged> {
    const message = readMessage(incoming, this.config.mqtt.topicPrefix);
    if ('reason' in message) {
      return { judgement: { ok: false, reason: message.reason }, address: message.address, message: null, facts: null, hasSecret: false };
    }
    const { address } = message;
    const known = (this.devices.peek('device', address.deviceId) ?? (await this.devices.facts('device', address.deviceId))).facts;
    const facts = known !== null && tenantId !== undefined && known.tenantId !== tenantId ? null : known;
    const keys = facts === null ? [] : (this.secrets.peek(facts) ?? (await this.secrets.secrets(facts)));
    const judgement = judgeMessage(message, facts, keys, {
      now: this.clock.now(),
      requireSignatures: this.config.messages.requireSignatures,
      rememberedSince: this.store.startedAt,
      challengeGivenAt: this.challengeGivenAt,
    });
    if (judgement.ok && judgement.secretId !== null && facts !== null) void this.secrets.noteProven(facts, judgement.secretId);
    return { judgement, address, message, facts, hasSecret: keys.length > 0 };
  }
}
