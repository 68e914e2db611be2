import { Injectable } from '@nestjs/common';
import type { TenantPrincipal } from '../access/principal.js';
import { actorOf } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { DevicesService } from '../devices/devices.service.js';
import { Transactions, type Transaction } from '../platform/database/transactions.js';
import type { CertificateRecord } from '../pki/certificate.js';
import { CertificatesService, type Revoked } from '../pki/certificates.service.js';
import { CrlsService } from '../pki/crls.service.js';
import type { RevokeReason } from '../pki/crl.js';
import { pkiError } from '../pki/pki.errors.js';
import type { EjectionJob } from './ejection-jobs.js';
import { Ejector, type Ejection } from './ejector.js';
import type { RevocationResult, RevocationScope } from './revocation.js';
import { Stopwatch } from './stopwatch.js';

/** Devices whose sessions are cut before the answer; those beyond are left to the worker. */
const EJECTED_AT_ONCE = 20;
/**
 * What the end of a certificate means: the room that signs does not know. A revocation is answered once a list that holds it is served
 * and live sessions were looked after.
 */
@Injectable()
export class RevocationService {
  constructor(
    private readonly transactions: Transactions,
    private readonly devices: DevicesService,
    private readonly certificates: CertificatesService,
    private readonly crls: CrlsService,
    private readonly audit: AuditService,
    private readonly ejector: Ejector,
  ) {}

  /** @throws CERT_NOT_FOUND, CERT_ALREADY_REVOKED, CERT_ENDED */
  revokeSerial(me: TenantPrincipal, serial: string, reason: RevokeReason, scope: RevocationScope): Promise<RevocationResult> {
    return this.revoke(me, reason, scope, async (tx) => {
      if (!scope.lineage) return [await this.certificates.revocable(tx, serial)];
      const certificate = await this.certificates.get(tx, serial);
      return this.certificates.lineage(tx, { ids: [certificate.id] }, scope.since);
    });
  }

  /** Every good certificate of a device. @throws DEVICE_NOT_FOUND */
  revokeDevice(me: TenantPrincipal, deviceId: string, reason: RevokeReason, scope: RevocationScope): Promise<RevocationResult> {
    return this.revoke(me, reason, scope, async (tx) => {
      await this.devices.get(tx, deviceId);
      const live = await this.certificates.live(tx, deviceId);
      const family = scope.lineage ? await this.certificates.lineage(tx, { ids: live.map(({ id }) => id) }, null) : live;
      return scope.since === null ? family : family.filter(({ createdAt }) => createdAt >= (scope.since as Date));
    });
  }

  /** Part of somebody's larger change, such as the end of a device: marks them revoked; `publish` follows the commit. */
  async revokeInside(tx: Transaction, certificates: readonly CertificateRecord[], reason: RevokeReason): Promise<Revoked> {
    const revoked = await this.certificates.revoke(tx, certificates, reason);
    tx.afterCommit(() => this.publish(tx.scope.tenantId ?? null, revoked.authorities));
    return revoked;
  }

  /** The lists that must say so; a failure is made good by whoever looks after the lists. */
  async publish(tenantId: string | null, authorities: readonly string[]): Promise<void> {
    for (const id of authorities) await this.crls.publish(id, tenantId);
  }

  private async revoke(
    me: TenantPrincipal,
    reason: RevokeReason,
    { dryRun }: RevocationScope,
    select: (tx: Transaction) => Promise<readonly CertificateRecord[]>,
  ): Promise<RevocationResult> {
    const watch = new Stopwatch();
    const done = await this.transactions.run({ tenantId: me.tenantId }, async (tx) => {
      const selected = await select(tx);
      if (dryRun) return { certificates: selected, authorities: [], jobs: [] };
      const { certificates, authorities } = await this.certificates.revoke(tx, selected, reason);
      // Another request was at the only one in the same moment.
      if (selected.length === 1 && certificates.length === 0) throw pkiError('CERT_ALREADY_REVOKED');
      for (const { serial, owner } of certificates) {
        await this.audit.record(tx, {
          type: 'CERT_REVOKED',
          tenantId: me.tenantId,
          deviceId: owner?.kind === 'device' ? owner.id : null,
          userId: me.kind === 'user' ? me.id : null,
          actor: actorOf(me),
          details: { serial, reason },
        });
      }
      return { certificates, authorities, jobs: await this.orderEjections(tx, certificates) };
    });
    if (dryRun) return { dryRun, certificates: done.certificates, ejection: null };
    const [ejection] = await Promise.all([
      this.ejectAll(done.jobs, watch),
      watch.time('crl', () => this.publish(me.tenantId, done.authorities)),
    ]);
    return { dryRun, certificates: done.certificates, ejection };
  }

  private async orderEjections(tx: Transaction, certificates: readonly CertificateRecord[]): Promise<(EjectionJob | null)[]> {
    const owners = [...new Map(certificates.flatMap(({ owner }) => (owner === null ? [] : [[owner.id, owner] as const]))).values()];
    const jobs: (EjectionJob | null)[] = [];
    for (const owner of owners.slice(0, EJECTED_AT_ONCE)) {
      const version = owner.kind === 'device' ? (await this.devices.get(tx, owner.id)).version : null;
      jobs.push(await this.ejector.order(tx, owner, 'CERT_REVOKED', false, version));
    }
    await this.ejector.orderMany(tx, owners.slice(EJECTED_AT_ONCE), 'CERT_REVOKED');
    return jobs;
  }

  private async ejectAll(jobs: readonly (EjectionJob | null)[], watch: Stopwatch): Promise<Ejection | null> {
    const ejections: Ejection[] = [];
    for (const job of jobs) ejections.push(await this.ejector.eject(job, watch));
    const last = ejections.at(-1);
    return last === undefined ? null : { ...last, confirmed: ejections.every(({ confirmed }) => confirmed) };
  }
}
