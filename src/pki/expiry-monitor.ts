import { Inject, Injectable, type BeforeApplicationShutdown, type OnApplicationBootstrap } from '@nestjs/common';
import { SYSTEM_ACTOR, type AuditEvent } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { Clock } from '../platform/clock/clock.js';
import { CONFIG, type Config } from '../platform/config/config.js';
import { Transactions } from '../platform/database/transactions.js';
import { logger } from '../platform/telemetry/logger.js';
import { Metrics } from '../platform/telemetry/metrics.js';
import { AuthoritiesRepository } from './authorities.repository.js';
import { AuthoritiesService } from './authorities.service.js';
import type { Authority } from './authority.js';
import { AuthoritySuccessionService } from './authority-succession.service.js';
import { AUTHORITY_WINDOWS, thresholdOf, type ExpiryNotice } from './expiry.js';
import { ExpiryListeners } from './expiry-listeners.js';
import { ExpiryRepository, LEFT } from './expiry.repository.js';

/** Often enough for certificates that live for a day; a threshold is told once however often we look. */
const LOOK_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** Certificates that are warned of in one transaction. */
const BATCH = 200;

/**
 * Looks at the start and every hour for certificates and authorities that end soon: a row in the security log, word to whoever
 * listens, and figures for the metrics. One instance at a time; a certificate is marked in the transaction that writes its row, so
 * whoever takes over from a killed instance goes on where it stopped.
 */
@Injectable()
export class ExpiryMonitor implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> | null = null;
  private nearestAuthority = Number.NaN;
  private readonly gauge;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    metrics: Metrics,
    private readonly clock: Clock,
    private readonly transactions: Transactions,
    private readonly repository: ExpiryRepository,
    private readonly authorities: AuthoritiesRepository,
    private readonly issuing: AuthoritiesService,
    private readonly succession: AuthoritySuccessionService,
    private readonly audit: AuditService,
    private readonly listeners: ExpiryListeners,
  ) {
    this.gauge = metrics.gauges('portcullis_certificates', 'Certificates that are neither revoked nor renewed, by the days that they have left; `ended`: in the last 30 days.', ['left']);
    metrics.gauge('portcullis_authority_days_left', 'Days until the first root or issuing authority ends that issues now.', () => this.nearestAuthority);
  }

  onApplicationBootstrap(): void {
    if (this.config.role === 'gate') return;
    for (const left of LEFT) this.gauge.set({ left }, 0);
    this.timer = setInterval(() => void this.look(), LOOK_MS);
    this.timer.unref();
    void this.look();
  }

  async beforeApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    await this.looking;
  }

  /** One look, at once; of several calls one looks. Never rejects. */
  look(): Promise<void> {
    this.looking ??= this.lookAround()
      .catch((error: unknown) => logger.error({ err: error }, 'certificates that end soon could not be looked for'))
      .finally(() => (this.looking = null));
    return this.looking;
  }

  private async lookAround(): Promise<void> {
    const now = new Date(this.clock.now());
    await this.repository.alone(async () => {
      for (const tenantId of await this.repository.tenants(now)) await this.warnTenant(tenantId, now);
      for (const authority of await this.current()) await this.warnAuthority(authority, now);
      for (const authority of await this.authorities.everyone()) {
        if (authority.kind !== 'responder') await this.succession.endUnused(authority);
      }
    });
    // Every instance shows the figures, whoever did the work.
    for (const [left, count] of Object.entries(await this.repository.count(now))) this.gauge.set({ left }, count);
    const ends = (await this.current()).map(({ notAfter }) => (notAfter.getTime() - now.getTime()) / DAY_MS);
    this.nearestAuthority = ends.length === 0 ? Number.NaN : Math.min(...ends);
  }

  private async current(): Promise<Authority[]> {
    return (await this.authorities.everyone()).filter(({ kind, retiredAt }) => kind !== 'responder' && retiredAt === null);
  }

  private async warnTenant(tenantId: string, now: Date): Promise<void> {
    try {
      for (let found = BATCH; found === BATCH;) {
        found = await this.transactions.run({ tenantId }, async (tx) => {
          const notices = await this.repository.warn(tx, now, BATCH);
          if (notices.length === 0) return 0;
          await this.audit.recordAll(tx, notices.map(eventOf));
          tx.afterCommit(() => this.listeners.tell(notices));
          return notices.length;
        });
      }
    } catch (error) {
      // Another tenant's certificates end just the same.
      logger.error({ err: error, tenantId }, 'certificates of a tenant end soon, and it could not be written down; the next look tries again');
    }
  }

  /** One that can be replaced from here is replaced; of the others somebody has to be told. */
  private async warnAuthority({ id, tenantId, kind, serial, notBefore, notAfter }: Authority, now: Date): Promise<void> {
    try {
      const threshold = thresholdOf(AUTHORITY_WINDOWS, { notBefore, notAfter }, now.getTime());
      if (threshold === null) return;
      if (kind === 'issuing' && tenantId !== null && (await this.issuing.issuing(tenantId)).authority.id !== id) return;
      await this.transactions.run({ tenantId }, async (tx) => {
        if (!(await this.repository.warnAuthority(tx, id, threshold))) return;
        const notice: ExpiryNotice = { kind: 'authority', id, tenantId, serial, notAfter, threshold, owner: null };
        await this.audit.record(tx, eventOf(notice));
        tx.afterCommit(() => this.listeners.tell([notice]));
      });
    } catch (error) {
      logger.error({ err: error, authorityId: id }, 'an authority ends soon, and it could not be written down; the next look tries again');
    }
  }
}

function eventOf({ kind, id, tenantId, serial, notAfter, threshold, owner }: ExpiryNotice): AuditEvent {
  const common = { tenantId, actor: SYSTEM_ACTOR, details: { serial, notAfter: notAfter.toISOString(), threshold } };
  if (kind === 'authority') {
    return { ...common, type: 'CA_EXPIRING', severity: threshold === 'last' ? 'CRITICAL' : 'HIGH', details: { ...common.details, authority: id } };
  }
  return {
    ...common,
    type: 'CERT_EXPIRING',
    severity: threshold === 'last' ? 'HIGH' : 'WARNING',
    deviceId: owner?.kind === 'device' ? owner.id : null,
    details: owner?.kind === 'service' ? { ...common.details, serviceAccountId: owner.id } : common.details,
  };
}
