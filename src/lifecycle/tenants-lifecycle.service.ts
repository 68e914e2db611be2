import { Injectable } from '@nestjs/common';
import type { Principal } from '../access/principal.js';
import { actorOf, type AuditEventType } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { DevicesGate } from '../devices/devices.gate.js';
import { DevicesService } from '../devices/devices.service.js';
import { Clock } from '../platform/clock/clock.js';
import { Transactions, type Transaction } from '../platform/database/transactions.js';
import { DEFAULT_SLUG, type Tenant } from '../users/tenant.js';
import { TenantsService } from '../users/tenants.service.js';
import { usersError } from '../users/users.errors.js';
import { EjectionJobs } from './ejection-jobs.js';
import { EjectionWorker } from './ejection-worker.js';
import { Ejector } from './ejector.js';
import { Stopwatch, type EjectionStep } from './stopwatch.js';

const FROZEN = 'TENANT_FROZEN';

export interface TenantChange {
  readonly tenant: Tenant;
  /** Devices and service accounts whose live sessions are being cut. */
  readonly subjects: number;
  readonly steps: readonly EjectionStep[];
  readonly totalMs: number;
}

/** A tenant's trust as a whole: frozen, opened again, ended. Each verb may be repeated. */
@Injectable()
export class TenantsLifecycleService {
  constructor(
    private readonly transactions: Transactions,
    private readonly tenants: TenantsService,
    private readonly devices: DevicesService,
    private readonly gate: DevicesGate,
    private readonly ejector: Ejector,
    private readonly jobs: EjectionJobs,
    private readonly worker: EjectionWorker,
    private readonly audit: AuditService,
    private readonly clock: Clock,
  ) {}

  /** Nothing of it connects or changes from now on; live sessions are cut by jobs that outlive the process. @throws TENANT_NOT_FOUND */
  freeze(actor: Principal, id: string, reason: string): Promise<TenantChange> {
    return this.close(actor, id, 'TENANT_FROZEN', reason, null);
  }

  /** How far the cutting of a frozen tenant's sessions has come. @throws TENANT_NOT_FOUND */
  async progress(id: string): Promise<{ tenant: Tenant; live: number; sweeps: number }> {
    const tenant = await this.tenants.get(id);
    return { tenant, ...(await this.jobs.remaining(id, FROZEN)) };
  }

  /** Frozen at once, deleted with all that it has after the grace. @throws TENANT_NOT_FOUND, TENANT_IS_DEFAULT */
  delete(actor: Principal, id: string, reason: string, graceSeconds: number): Promise<TenantChange> {
    return this.close(actor, id, 'TENANT_DELETED', reason, new Date(this.clock.now() + graceSeconds * 1000));
  }

  /** Takes a deletion back; the tenant stays frozen. @throws TENANT_NOT_FOUND */
  async restore(actor: Principal, id: string): Promise<Tenant> {
    return this.transactions.run({ tenantId: id }, async (tx) => {
      const before = await this.tenants.lock(tx, id);
      if (before.deleteAfter === null) return before;
      await this.record(tx, actor, 'TENANT_UPDATED', id, { deletion: 'taken back' });
      return this.tenants.setStatus(tx, id, 'FROZEN', before.statusReason, null);
    });
  }

  /** @throws TENANT_NOT_FOUND, TENANT_DELETION_PENDING */
  async unfreeze(actor: Principal, id: string, reason: string): Promise<TenantChange> {
    const watch = new Stopwatch();
    const tenant = await watch.time('state', () => this.transactions.run({ tenantId: id }, async (tx) => {
      const before = await this.tenants.lock(tx, id);
      if (before.deleteAfter !== null) throw usersError('TENANT_DELETION_PENDING');
      if (before.status === 'ACTIVE') return before;
      // Whoever comes back from now on must not be cut for what was ordered before.
      await this.ejector.forgetAll(tx, FROZEN);
      await this.record(tx, actor, 'TENANT_UNFROZEN', id, { reason });
      return this.tenants.setStatus(tx, id, 'ACTIVE', null, null);
    }));
    await watch.time('invalidate', () => this.gate.invalidateTenant(id));
    return { tenant, subjects: 0, steps: watch.steps, totalMs: watch.totalMs };
  }

  private async close(actor: Principal, id: string, event: AuditEventType, reason: string, deleteAfter: Date | null): Promise<TenantChange> {
    const watch = new Stopwatch();
    const { tenant, subjects } = await watch.time('state', () => this.transactions.run({ tenantId: id }, async (tx) => {
      const before = await this.tenants.lock(tx, id);
      if (deleteAfter !== null && before.slug === DEFAULT_SLUG) throw usersError('TENANT_IS_DEFAULT');
      const until = before.deleteAfter ?? deleteAfter;
      const changes = before.status !== 'FROZEN' || until?.getTime() !== before.deleteAfter?.getTime();
      const tenant = changes ? await this.tenants.setStatus(tx, id, 'FROZEN', reason, until) : before;
      if (changes) await this.record(tx, actor, event, id, { reason, deleteAfter: until });
      // Ordered anew each time: a repetition cuts what the first one missed.
      const live = await this.devices.subjects(tx);
      if (live.length > 0) await this.ejector.orderMany(tx, live, FROZEN);
      return { tenant, subjects: live.length };
    }));
    await watch.time('invalidate', () => this.gate.invalidateTenant(id));
    this.worker.committed();
    return { tenant, subjects, steps: watch.steps, totalMs: watch.totalMs };
  }

  private async record(tx: Transaction, actor: Principal, type: AuditEventType, tenantId: string, details: Record<string, unknown>): Promise<void> {
    await this.audit.record(tx, { type, tenantId, actor: actorOf(actor), details });
  }
}
