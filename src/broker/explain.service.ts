import { Injectable } from '@nestjs/common';
import type { TenantPrincipal } from '../access/principal.js';
import { devicesError } from '../devices/devices.errors.js';
import { DevicesGate } from '../devices/devices.gate.js';
import { nearestRule } from '../devices/topic-nearest.js';
import type { TopicRequest } from '../devices/topic.decision.js';
import { platformError } from '../platform/problem/platform.errors.js';
import { decideAcl } from './acl.decision.js';
import { judgeStanding } from './connect.decision.js';
import type { ExplainAnswer, ExplainRequest } from './explain.dto.js';
import { ALL_REASONS } from './reason-catalogue.js';

/** What the door would answer, by the very functions that the door calls, on the very facts that it would use. */
@Injectable()
export class ExplainService {
  constructor(private readonly devices: DevicesGate) {}

  async explain(principal: TenantPrincipal, deviceId: string, request: ExplainRequest): Promise<ExplainAnswer> {
    const { facts, stale } = await this.devices.facts('device', deviceId);
    if (facts === null || facts.tenantId !== principal.tenantId) throw devicesError('DEVICE_NOT_FOUND');
    if (request.action === 'connect') {
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
}

function describe(result: 'allow' | 'deny', reason: string): ExplainAnswer {
  return { result, reason, meaning: ALL_REASONS[reason] ?? '' };
}
