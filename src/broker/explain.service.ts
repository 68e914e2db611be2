import { Inject, Injectable } from '@nestjs/common';
import type { TenantPrincipal } from '../access/principal.js';
import { devicesError } from '../devices/devices.errors.js';
import { DevicesGate } from '../devices/devices.gate.js';
import { nearestRule } from '../devices/topic-nearest.js';
import type { TopicRequest } from '../devices/topic.decision.js';
import type { Facts } from '../devices/facts.js';
import { PkiGate } from '../pki/pki.gate.js';
import { Clock } from '../platform/clock/clock.js';
import { CONFIG, type Config } from '../platform/config/config.js';
import { platformError } from '../platform/problem/platform.errors.js';
import { decideAcl } from './acl.decision.js';
import { decideConnect, judgeStanding } from './connect.decision.js';
import type { ExplainAnswer, ExplainRequest } from './explain.dto.js';
import { ALL_REASONS } from './reason-catalogue.js';

/** What the door would answer, by the very functions that the door calls, on the very facts that it would use. */
@Injectable()
export class ExplainService {
  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly clock: Clock,
    private readonly devices: DevicesGate,
    private readonly pki: PkiGate,
  ) {}

  async explain(principal: TenantPrincipal, deviceId: string, request: ExplainRequest): Promise<ExplainAnswer> {
    const { facts, stale } = await this.devices.facts('device', deviceId);
    if (facts === null || facts.tenantId !== principal.tenantId) throw devicesError('DEVICE_NOT_FOUND');
    if (request.action === 'connect') {
      if (request.certificate !== undefined) return this.explainCertificate(facts, stale, request.certificate.trim());
      const standing = judgeStanding(facts, stale);
      return standing === null ? describe('allow', 'ALLOWED') : describe('deny', standing);
    }
    if (request.topic === undefined) {
      throw platformError('VALIDATION_FAILED', { errors: [{ path: 'topic', message: `topic is needed to explain a ${request.action}` }] });
    }
    const qos = request.qos ?? 0;
    const asked: TopicRequest = request.action === 'publish'
      ? { action: 'publish', topic: request.topic, qos, retain: request.retain ?? false }
      : { action: 'subscribe', filter: request.topic, qos };
    const verdict = decideAcl(facts, stale, asked);
    if (verdict.allow) return { ...describe('allow', 'ALLOWED'), rule: verdict.rule };
    const nearest = nearestRule(facts.rules, asked);
    return { ...describe('deny', verdict.reason), ...(nearest === undefined ? {} : { nearest }) };
  }

  private async explainCertificate(facts: Facts, stale: boolean, certificate: string): Promise<ExplainAnswer> {
    const now = this.clock.now();
    const proof = await this.pki.check({ kind: 'certificate', certificate }, facts, now, { asked: true });
    const verdict = decideConnect({ facts, stale, proof, now, jitter: 0, sessionMaxMs: this.config.gate.sessionMaxMs });
    return verdict.allow ? describe('allow', 'ALLOWED') : describe('deny', verdict.reason);
  }
}

function describe(result: 'allow' | 'deny', reason: string): ExplainAnswer {
  return { result, reason, meaning: ALL_REASONS[reason] ?? '' };
}
