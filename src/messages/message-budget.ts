import { Injectable } from '@nestjs/common';
import { AuditStream } from '../audit/audit.stream.js';
import type { Facts } from '../devices/facts.js';
import { Clock } from '../platform/clock/clock.js';
import { gcraSpend } from '../platform/redis/gcra.js';
import type { Rate } from '../platform/redis/key-value.js';
import { Lru } from '../platform/redis/lru.js';

/** What one instance hands on: a hundred messages a second of one device, a thousand of one tenant, with room for bursts. */
const DEVICE_RATE: Rate = { intervalMs: 10, burst: 300 };
const TENANT_RATE: Rate = { intervalMs: 1, burst: 5_000 };
/** Challenges are for messages that will come: ten a second of one device, with room for two full questions. */
const CHALLENGE_RATE: Rate = { intervalMs: 100, burst: 32 };
/** An excess is told once a window. */
const WINDOW_MS = 60_000;

/** Token buckets of verified messages, each instance for itself. What exceeds them is dropped. */
@Injectable()
export class MessageBudget {
  private readonly devices = new Lru<string, number>(50_000);
  private readonly tenants = new Lru<string, number>(5_000);
  private readonly challenges = new Lru<string, number>(50_000);
  /** Subject → when its excess was told. */
  private readonly told = new Lru<string, number>(5_000);

  constructor(
    private readonly clock: Clock,
    private readonly audit: AuditStream,
  ) {}

  spend(facts: Facts): boolean {
    const now = this.clock.now();
    if (take(this.devices, facts.id, now, DEVICE_RATE)) {
      if (take(this.tenants, facts.tenantId, now, TENANT_RATE)) return true;
      this.tell(`tenant:${facts.tenantId}`, now, facts, 'TENANT_BUDGET');
    } else {
      this.tell(`device:${facts.id}`, now, facts, 'DEVICE_BUDGET');
    }
    return false;
  }

  /** @returns how many of the challenges that were asked for may be given */
  spendChallenges(facts: Facts, asked: number): number {
    const now = this.clock.now();
    let given = 0;
    while (given < asked && take(this.challenges, facts.id, now, CHALLENGE_RATE)) given += 1;
    if (given === 0) this.tell(`challenges:${facts.id}`, now, facts, 'CHALLENGE_BUDGET');
    return given;
  }

  private tell(subject: string, now: number, facts: Facts, reason: string): void {
    const last = this.told.get(subject);
    if (last !== undefined && now - last < WINDOW_MS) return;
    this.told.set(subject, now);
    this.audit.note({
      type: 'RATE_LIMITED',
      tenantId: facts.tenantId,
      deviceId: facts.id,
      actor: { kind: 'device', id: facts.id },
      details: { reason, what: 'messages', windowMs: WINDOW_MS },
    });
  }
}

function take(buckets: Lru<string, number>, key: string, now: number, rate: Rate): boolean {
  const { allowed, tat } = gcraSpend(buckets.get(key) ?? null, now, rate);
  if (tat === null) buckets.delete(key);
  else buckets.set(key, tat);
  return allowed;
}
