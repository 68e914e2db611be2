import { Injectable } from '@nestjs/common';
import type { TenantPrincipal } from '../access/principal.js';
import { actorOf, type AuditEventType } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { CredentialsService } from '../credentials/credentials.service.js';
import { DeviceSecretsService } from '../device-secrets/device-secrets.service.js';
import { nextStates, type DeviceRecord } from '../devices/device.js';
import { devicesError } from '../devices/devices.errors.js';
import { DevicesGate } from '../devices/devices.gate.js';
import { DevicesService } from '../devices/devices.service.js';
import { Clock } from '../platform/clock/clock.js';
import { Transactions, type Transaction } from '../platform/database/transactions.js';
import { logger } from '../platform/telemetry/logger.js';
import { CertificatesService, type Revoked } from '../pki/certificates.service.js';
import { Ejector, type Ejection } from './ejector.js';
import { RevocationService } from './revocation.service.js';
import { Stopwatch } from './stopwatch.js';

export type Confinement = 'quarantine' | 'suspend';

export interface IncidentReport {
  readonly device: DeviceRecord;
  readonly statusBefore: DeviceRecord['status'];
  /** What this call cut; a repetition finds nothing left. */
  readonly credentialsRevoked: readonly string[];
  /** Serials, revoked with the reason `keyCompromise`. */
  readonly certificatesRevoked: readonly string[];
  /** Revocation lists that name them are out; `null`: no certificate was revoked. */
  readonly crlPublished: boolean | null;
  readonly groupsLeft: readonly string[];
  readonly ejection: Ejection;
}

const VERBS = {
  quarantine: { to: 'QUARANTINED', event: 'DEVICE_QUARANTINED' },
  suspend: { to: 'SUSPENDED', event: 'DEVICE_SUSPENDED' },
} as const satisfies Record<Confinement, { to: DeviceRecord['status']; event: AuditEventType }>;

/** One call for one incident: everything is cut in one transaction, then the live sessions. */
@Injectable()
export class IncidentsService {
  constructor(
    private readonly transactions: Transactions,
    private readonly devices: DevicesService,
    private readonly credentials: CredentialsService,
    private readonly deviceSecrets: DeviceSecretsService,
    private readonly certificates: CertificatesService,
    private readonly revocation: RevocationService,
    private readonly gate: DevicesGate,
    private readonly ejector: Ejector,
    private readonly audit: AuditService,
    private readonly clock: Clock,
  ) {}

  /**
   * A device is in the wrong hands: confined (from where the state table allows it; PENDING and stricter states stay as they are),
   * all its credentials and certificates revoked, out of every group, ejected; answered once the revocation lists that say so are out.
   * Twice is once. `ejection.steps` times each part: what the transaction does one by one, `state` for the whole of it, then what follows.
   * @throws DEVICE_NOT_FOUND, DEVICE_DECOMMISSIONED
   */
  async compromised(me: TenantPrincipal, deviceId: string, confinement: Confinement, reason: string): Promise<IncidentReport> {
    const watch = new Stopwatch();
    const { tenantId } = me;
    const owner = { kind: 'device', id: deviceId, tenantId } as const;
    const { job, authorities, ...done } = await watch.time('state', () => this.transactions.run({ tenantId }, async (tx) => {
      const before = await this.devices.lock(tx, deviceId);
      if (before.status === 'DECOMMISSIONED') throw devicesError('DEVICE_DECOMMISSIONED');
      await watch.time('confine', () => this.confine(tx, me, before, confinement, reason));
      const groupsLeft = await watch.time('groups', () => this.devices.leaveGroups(tx, deviceId));
      const credentials = await watch.time('credentials', async () => (await this.credentials.revokeAll(tx, owner, 'COMPROMISED')).revoked);
      const hmac = await watch.time('signing-secrets', () => this.deviceSecrets.revokeAll(tx, owner, 'COMPROMISED'));
      const { certificates, authorities } = await watch.time('certificates', () => this.revokeCertificates(tx, me, deviceId, reason));
      const revoked = [...credentials, ...hmac];
      const serials = certificates.map(({ serial }) => serial);
      const device = await this.devices.setTokensNotBefore(tx, deviceId, new Date(this.clock.now()));
      const details = { credentialId: null, revoked, certificates: serials, groupsLeft, reason, incident: 'compromised' };
      const row = { type: 'CREDENTIAL_REVOKED', severity: 'CRITICAL', tenantId, deviceId, actor: actorOf(me), details } as const;
      if (revoked.length + serials.length + groupsLeft.length > 0) await this.audit.record(tx, row);
      // Banned for a moment even in quarantine: whoever holds it must not have its will published.
      const job = await this.ejector.order(tx, owner, 'COMPROMISED', true, null);
      return { device, statusBefore: before.status, credentialsRevoked: revoked, certificatesRevoked: serials, groupsLeft, job, authorities };
    }));
    await watch.time('invalidate', () => this.gate.invalidate('device', deviceId, done.device.version));
    const [ejection, crlPublished] = await Promise.all([
      this.ejector.eject(job, watch),
      authorities.length === 0 ? null : watch.time('crl', () => this.publish(tenantId, authorities)),
    ]);
    return { ...done, crlPublished, ejection: { ...ejection, totalMs: watch.totalMs } };
  }

  /** The gate refuses a revoked certificate from the commit on; the lists are for whoever asks them instead. */
  private async publish(tenantId: string, authorities: readonly string[]): Promise<boolean> {
    try {
      await this.revocation.publish(tenantId, authorities);
      return true;
    } catch (error) {
      // What was cut stays cut, and whoever looks after the lists makes it good.
      logger.warn({ err: error }, 'a revocation list could not be published');
      return false;
    }
  }

  private async revokeCertificates(tx: Transaction, me: TenantPrincipal, deviceId: string, reason: string): Promise<Revoked> {
    const done = await this.certificates.revoke(tx, await this.certificates.unexpired(tx, deviceId), 'keyCompromise');
    for (const { serial } of done.certificates) {
      const details = { serial, reason: 'keyCompromise', why: reason, incident: 'compromised' };
      await this.audit.record(tx, { type: 'CERT_REVOKED', tenantId: me.tenantId, deviceId, actor: actorOf(me), details });
    }
    return done;
  }

  private async confine(tx: Transaction, me: TenantPrincipal, before: DeviceRecord, confinement: Confinement, reason: string): Promise<void> {
    const { to, event } = VERBS[confinement];
    // A quarantine is left by release only.
    if (before.status === to || before.status === 'QUARANTINED' || !nextStates(before).includes(to)) return;
    await this.devices.changeStatus(tx, before, to, reason);
    const details = { from: before.status, to, reason, incident: 'compromised' };
    await this.audit.record(tx, { type: event, tenantId: me.tenantId, deviceId: before.id, actor: actorOf(me), details });
  }
}
