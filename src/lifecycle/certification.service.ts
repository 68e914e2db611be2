import { Injectable } from '@nestjs/common';
import type { TenantPrincipal } from '../access/principal.js';
import { actorOf } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { devicesError } from '../devices/devices.errors.js';
import { DevicesService } from '../devices/devices.service.js';
import { ServiceAccountsService } from '../devices/service-accounts.service.js';
import { requestContext } from '../platform/context/request-context.js';
import { Transactions, type Transaction } from '../platform/database/transactions.js';
import { lifetimeMs } from '../platform/http/fields.js';
import { WorkLimit } from '../platform/work/work-limit.js';
import type { CertificateRecord } from '../pki/certificate.js';
import { CertificatesService, type CertificateGiven, type KeyOrder, type PreparedKey, type Revoked } from '../pki/certificates.service.js';
import { CrlsService } from '../pki/crls.service.js';
import type { RevokeReason } from '../pki/crl.js';
import { pkiError } from '../pki/pki.errors.js';
import type { CertificateRequest } from './certification.dto.js';
import type { EjectionJob } from './ejection-jobs.js';
import { Ejector, type Ejection } from './ejector.js';
import { lifecycleError } from './lifecycle.errors.js';
import type { RevocationResult, RevocationScope } from './revocation.js';
import { Stopwatch } from './stopwatch.js';

/** Devices whose sessions are cut before the answer; those beyond are left to the worker. */
const EJECTED_AT_ONCE = 20;
/** More at once would give more certificates a second, and have the broker's questions wait behind them. */
const ISSUED_AT_ONCE = 2;
/** A second or two of work. */
const QUEUE = 1_000;
const ISSUING_STATES: readonly string[] = ['PENDING', 'ACTIVE'];

/**
 * Who may ask for a certificate, and what its end means: the room that signs checks neither. A revocation is answered once a list
 * that holds it is served and live sessions were looked after.
 */
@Injectable()
export class CertificationService {
  private readonly limit = new WorkLimit(ISSUED_AT_ONCE, QUEUE, () => lifecycleError('CERT_ISSUING_BUSY', { headers: { 'Retry-After': '2' } }));

  constructor(
    private readonly transactions: Transactions,
    private readonly devices: DevicesService,
    private readonly serviceAccounts: ServiceAccountsService,
    private readonly certificates: CertificatesService,
    private readonly crls: CrlsService,
    private readonly audit: AuditService,
    private readonly ejector: Ejector,
  ) {}

  /**
   * @throws DEVICE_NOT_FOUND, CERT_DEVICE_STATE, CERT_RENEWAL_NEEDS_CERTIFICATE, CERT_REQUEST_UNCLEAR, CERT_PROFILE_UNKNOWN, CERT_TTL_INVALID,
   * CSR_MALFORMED, CSR_SIGNATURE, KEY_WEAK, KEY_REUSED, CERT_ISSUING_BUSY
   */
  async issue(me: TenantPrincipal, deviceId: string, request: CertificateRequest): Promise<CertificateGiven> {
    const { tenantId } = me;
    // A key takes long to make, so it is made before the device is locked, for a device that may have it as things look; one that
    // comes with its request is judged under the lock at once.
    const made = request.generate === true ? await this.makeKey(me, deviceId, request) : null;
    const authority = await this.certificates.authority(tenantId);
    return this.limit.run(() => this.transactions.run({ tenantId }, async (tx) => {
      const renews = await this.refuse(tx, me, deviceId, true);
      const { order, ttlMs } = orderOf(request, 'device');
      const key = made ?? (await this.certificates.keyOf(order, ttlMs));
      const given = await this.certificates.issue(tx, {
        owner: { kind: 'device', id: deviceId, tenantId },
        key,
        authority,
        ...(ttlMs === undefined ? {} : { ttlMs }),
        ...(renews === null ? {} : { renews }),
        credentialId: me.credential === 'basic' ? (me.credentialId ?? null) : null,
        requestedFrom: requestContext()?.ip ?? null,
      });
      await this.audit.record(tx, {
        type: 'CERT_ISSUED',
        tenantId,
        deviceId,
        userId: me.kind === 'user' ? me.id : null,
        actor: actorOf(me),
        details: { serial: given.serial, notAfter: given.notAfter.toISOString(), renews: renews?.serial ?? null, generated: 'generate' in order },
      });
      return given;
    }), 'known');
  }

  /**
   * For a service account, of the profile `service`; there is no renewal by itself.
   * @throws SERVICE_ACCOUNT_NOT_FOUND, CERT_SERVICE_STATE, and of the request as `issue`
   */
  async issueService(me: TenantPrincipal, id: string, request: CertificateRequest): Promise<CertificateGiven> {
    const { tenantId } = me;
    await this.transactions.run({ tenantId }, (tx) => this.serviceAccounts.get(tx, id));
    const { order, ttlMs } = orderOf(request, 'service');
    const { key, authority } = await this.certificates.prepare(tenantId, order, ttlMs);
    return this.limit.run(() => this.transactions.run({ tenantId }, async (tx) => {
      if ((await this.serviceAccounts.lock(tx, id)).status !== 'ACTIVE') throw lifecycleError('CERT_SERVICE_STATE');
      const given = await this.certificates.issue(tx, {
        owner: { kind: 'service', id, tenantId }, key, authority, requestedFrom: requestContext()?.ip ?? null, ...(ttlMs === undefined ? {} : { ttlMs }),
      });
      await this.audit.record(tx, {
        type: 'CERT_ISSUED',
        tenantId,
        userId: me.kind === 'user' ? me.id : null,
        actor: actorOf(me),
        details: { serial: given.serial, notAfter: given.notAfter.toISOString(), serviceAccountId: id, generated: 'generate' in order },
      });
      return given;
    }), 'known');
  }

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

  private async makeKey(me: TenantPrincipal, deviceId: string, request: CertificateRequest): Promise<PreparedKey> {
    await this.transactions.run({ tenantId: me.tenantId }, (tx) => this.refuse(tx, me, deviceId, false));
    const { order, ttlMs } = orderOf(request, 'device');
    return this.certificates.keyOf(order, ttlMs);
  }

  /** @returns the certificate that is renewed, where the device came with one */
  private async refuse(tx: Transaction, me: TenantPrincipal, deviceId: string, lock: boolean): Promise<CertificateRecord | null> {
    const status = lock ? await this.devices.lockState(tx, deviceId) : (await this.devices.get(tx, deviceId)).status;
    if (status === 'DECOMMISSIONED') throw devicesError('DEVICE_DECOMMISSIONED');
    const allowed = ISSUING_STATES.includes(status) || (status === 'QUARANTINED' && me.role === 'ADMIN');
    if (!allowed) throw lifecycleError('CERT_DEVICE_STATE', { detail: `The device is ${status}.` });
    if (me.kind !== 'device') return null;
    const live = await this.certificates.live(tx, deviceId);
    const current = me.credential === 'certificate' ? live.find(({ id }) => id === me.credentialId) : undefined;
    if (current !== undefined) return current;
    // A secret buys the first certificate; whoever has one renews it with its key.
    if (live.length > 0 || me.credential === 'certificate') throw lifecycleError('CERT_RENEWAL_NEEDS_CERTIFICATE');
    return null;
  }
}

/** @throws CERT_REQUEST_UNCLEAR, CERT_PROFILE_UNKNOWN */
function orderOf(request: CertificateRequest, profile: 'device' | 'service'): { order: KeyOrder; ttlMs?: number } {
  const order = keyOrderOf(request);
  if (request.profile !== undefined && request.profile !== profile) throw pkiError('CERT_PROFILE_UNKNOWN');
  return { order, ...(request.ttl === undefined ? {} : { ttlMs: lifetimeMs(request.ttl) }) };
}

function keyOrderOf({ csr, generate, keyType, password }: CertificateRequest): KeyOrder {
  if (csr !== undefined) {
    if (generate === true || keyType !== undefined || password !== undefined) throw pkiError('CERT_REQUEST_UNCLEAR');
    return { csr };
  }
  if (generate !== true) throw pkiError('CERT_REQUEST_UNCLEAR');
  return { generate: keyType ?? 'EC', ...(password === undefined ? {} : { password }) };
}
