import { Injectable } from '@nestjs/common';
import type { TenantPrincipal } from '../access/principal.js';
import { actorOf, type AuditActor, type AuditEventType } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { CredentialsService } from '../credentials/credentials.service.js';
import { DeviceSecretsService } from '../device-secrets/device-secrets.service.js';
import { nextStates, type DeviceRecord, type DeviceStatus } from '../devices/device.js';
import { devicesError } from '../devices/devices.errors.js';
import { DevicesGate } from '../devices/devices.gate.js';
import { DevicesService } from '../devices/devices.service.js';
import { Transactions, type Transaction } from '../platform/database/transactions.js';
import { isAppError } from '../platform/problem/app-error.js';
import { logger } from '../platform/telemetry/logger.js';
import { CertificatesService } from '../pki/certificates.service.js';
import { RateLimitGate } from '../rate-limit/rate-limit.gate.js';
import type { EjectionJob } from './ejection-jobs.js';
import { Ejector, type Ejection } from './ejector.js';
import { RevocationService } from './revocation.service.js';
import { Stopwatch } from './stopwatch.js';

export interface LifecycleResult {
  readonly device: DeviceRecord;
  readonly ejection: Ejection;
}

interface Change {
  readonly tenantId: string;
  readonly deviceId: string;
  readonly actor: AuditActor;
  readonly userId: string | null;
  readonly reason: string;
  readonly event: AuditEventType;
  readonly to: DeviceStatus | 'BEFORE_QUARANTINE';
}

/** State of a device's trust: each change commits with its audit row, then caches and live sessions follow. */
@Injectable()
export class LifecycleService {
  constructor(
    private readonly transactions: Transactions,
    private readonly devices: DevicesService,
    private readonly gate: DevicesGate,
    private readonly credentials: CredentialsService,
    private readonly certificates: CertificatesService,
    private readonly revocation: RevocationService,
    private readonly deviceSecrets: DeviceSecretsService,
    private readonly audit: AuditService,
    private readonly ejector: Ejector,
    private readonly rateLimit: RateLimitGate,
  ) {}

  /** PENDING or SUSPENDED → ACTIVE; lifts bans and forgets the failures that suspended it. */
  async activate(me: TenantPrincipal, deviceId: string, reason: string): Promise<LifecycleResult> {
    const watch = new Stopwatch();
    const target = { kind: 'device', id: deviceId, tenantId: me.tenantId } as const;
    const { device } = await this.change(watch, { ...by(me, deviceId, reason), event: 'DEVICE_ACTIVATED', to: 'ACTIVE' }, async (tx) => {
      await this.ejector.forget(tx, target);
      return null;
    });
    if (!(await this.rateLimit.reset(deviceId))) logger.warn({ deviceId }, 'failures in the shared store could not be forgotten');
    await watch.time('unban', () => this.ejector.readmit(target));
    return { device, ejection: { confirmed: true, steps: watch.steps, totalMs: watch.totalMs, sweepAt: null } };
  }

  suspend(me: TenantPrincipal, deviceId: string, reason: string): Promise<LifecycleResult> {
    return this.changeAndEject({ ...by(me, deviceId, reason), event: 'DEVICE_SUSPENDED', to: 'SUSPENDED' }, true);
  }

  /** Confined to its remediation topics: kicked so that it comes back under the new rules, but not banned. */
  quarantine(me: TenantPrincipal, deviceId: string, reason: string): Promise<LifecycleResult> {
    return this.changeAndEject({ ...by(me, deviceId, reason), event: 'DEVICE_QUARANTINED', to: 'QUARANTINED' }, false);
  }

  /** Back to the state before the quarantine; kicked so that it comes back under its own rules. */
  release(me: TenantPrincipal, deviceId: string, reason: string): Promise<LifecycleResult> {
    return this.changeAndEject({ ...by(me, deviceId, reason), event: 'DEVICE_RELEASED', to: 'BEFORE_QUARANTINE' }, false);
  }

  /** The end: every credential is revoked in the same transaction. */
  decommission(me: TenantPrincipal, deviceId: string, reason: string): Promise<LifecycleResult> {
    const change: Change = { ...by(me, deviceId, reason), event: 'DEVICE_DECOMMISSIONED', to: 'DECOMMISSIONED' };
    return this.changeAndEject(change, true, async (tx) => {
      const owner = { kind: 'device', id: deviceId, tenantId: me.tenantId } as const;
      await this.credentials.revokeAll(tx, owner, 'DECOMMISSIONED');
      await this.deviceSecrets.revokeAll(tx, owner, 'DECOMMISSIONED');
      await this.revocation.revokeInside(tx, await this.certificates.live(tx, deviceId), 'cessationOfOperation');
    });
  }

  /** Cuts the live sessions; the device may come straight back. */
  async eject(me: TenantPrincipal, deviceId: string, reason: string): Promise<LifecycleResult> {
    const watch = new Stopwatch();
    const target = { kind: 'device', id: deviceId, tenantId: me.tenantId } as const;
    const { device, job } = await watch.time('state', () => this.transactions.run({ tenantId: me.tenantId }, async (tx) => {
      await this.devices.lock(tx, deviceId);
      // A newer version tells the sessions of now from those that come back.
      await this.devices.touch(tx, deviceId);
      const device = await this.devices.get(tx, deviceId);
      await this.audit.record(tx, {
        type: 'DEVICE_EJECTED',
        tenantId: me.tenantId,
        deviceId,
        userId: me.kind === 'user' ? me.id : null,
        actor: actorOf(me),
        details: { reason, ordered: true },
      });
      const job = await this.ejector.order(tx, target, 'EJECT', false, device.version);
      return { device, job };
    }));
    return { device, ejection: await this.ejector.eject(job, watch) };
  }

  /**
   * Ordered by the broker's door when a device failed too often. Idempotent: only an ACTIVE device is suspended.
   * Nobody waits for it.
   */
  async suspendForFailures(deviceId: string, why: string): Promise<void> {
    const { facts } = await this.gate.facts('device', deviceId);
    if (facts === null || facts.status !== 'ACTIVE') return;
    const change: Change = {
      tenantId: facts.tenantId,
      deviceId,
      actor: { kind: 'system', id: 'rate-limit' },
      userId: null,
      reason: `repeated authentication failures (${why})`,
      event: 'DEVICE_SUSPENDED',
      to: 'SUSPENDED',
    };
    try {
      await this.changeAndEject(change, true);
    } catch (error) {
      // Two processes may count the tenth failure; the one that comes second finds the device suspended.
      if (!isAppError(error, 'DEVICE_STATE_CONFLICT')) throw error;
    }
  }

  /** Ordered with the change, done after it. */
  private async changeAndEject(change: Change, ban: boolean, also?: (tx: Transaction) => Promise<void>): Promise<LifecycleResult> {
    const watch = new Stopwatch();
    const target = { kind: 'device', id: change.deviceId, tenantId: change.tenantId } as const;
    const { device, job } = await this.change(watch, change, async (tx, after) => {
      await also?.(tx);
      return this.ejector.order(tx, target, change.event, ban, ban ? null : after.version);
    });
    return { device, ejection: await this.ejector.eject(job, watch) };
  }

  private async change(
    watch: Stopwatch,
    change: Change,
    also: (tx: Transaction, after: DeviceRecord) => Promise<EjectionJob | null>,
  ): Promise<{ device: DeviceRecord; job: EjectionJob | null }> {
    const done = await watch.time('state', () => this.transactions.run({ tenantId: change.tenantId }, async (tx) => {
      const before = await this.devices.lock(tx, change.deviceId);
      const to = change.to === 'BEFORE_QUARANTINE' ? before.statusBeforeQuarantine : change.to;
      if (to === null || !nextStates(before).includes(to) || !fits(change, before.status)) {
        throw devicesError('DEVICE_STATE_CONFLICT', { detail: `The device is ${before.status}.` });
      }
      const device = await this.devices.changeStatus(tx, before, to, change.reason);
      const job = await also(tx, device);
      await this.audit.record(tx, {
        type: change.event,
        tenantId: change.tenantId,
        deviceId: change.deviceId,
        userId: change.userId,
        actor: change.actor,
        details: { from: before.status, to, reason: change.reason },
      });
      return { device, job };
    }));
    await watch.time('invalidate', () => this.gate.invalidate('device', done.device.id, done.device.version));
    return done;
  }
}

/** Verbs are narrower than the state table: a quarantine ends by `release`, never by `activate` or `suspend`. */
function fits(change: Change, from: DeviceStatus): boolean {
  return from !== 'QUARANTINED' || change.to === 'BEFORE_QUARANTINE' || change.to === 'DECOMMISSIONED';
}

function by(me: TenantPrincipal, deviceId: string, reason: string): Omit<Change, 'event' | 'to'> {
  return { tenantId: me.tenantId, deviceId, reason, actor: actorOf(me), userId: me.kind === 'user' || me.kind === 'pat' ? me.id : null };
}
