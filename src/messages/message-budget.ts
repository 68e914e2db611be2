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
/** An excess is told once a window. */
const WINDOW_MS = 60_000;

/** Token buckets of verified messages, each instance for itself. What exceeds them is dropped. */
@Injectable()
export class MessageBudget {
  private readonly devices = new Lru<string, number>(50_000);
  private readonly tenants = new Lru<string, number>(5_000);
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
