import { Injectable } from '@nestjs/common';
import type { TenantPrincipal } from '../access/principal.js';
import { actorOf } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { CredentialsService } from '../credentials/credentials.service.js';
import { DeviceSecretsService } from '../device-secrets/device-secrets.service.js';
import { devicesError } from '../devices/devices.errors.js';
import { DevicesService } from '../devices/devices.service.js';
import { ServiceAccountsService, type ServiceAccountRecord } from '../devices/service-accounts.service.js';
import { Transactions, type Transaction } from '../platform/database/transactions.js';
import { CertificatesService } from '../pki/certificates.service.js';
import { Ejector, type Ejection } from './ejector.js';
import { RevocationService } from './revocation.service.js';

export interface RotatedSecret {
  readonly secret: string;
  readonly previousValidUntil: Date | null;
}

/** Secrets and service accounts over their life: issued, rotated with overlap, revoked together with what came from them. */
@Injectable()
export class TrustService {
  constructor(
    private readonly transactions: Transactions,
    private readonly devices: DevicesService,
    private readonly serviceAccounts: ServiceAccountsService,
    private readonly credentials: CredentialsService,
    private readonly certificates: CertificatesService,
    private readonly revocation: RevocationService,
    private readonly deviceSecrets: DeviceSecretsService,
    private readonly audit: AuditService,
    private readonly ejector: Ejector,
  ) {}

  /** Old and new both connect for an hour; the old one's end was told to the broker at CONNECT, so nothing is cut now. */
  rotateClientSecret(me: TenantPrincipal, deviceId: string): Promise<RotatedSecret> {
    return this.transactions.run({ tenantId: me.tenantId }, async (tx) => {
      const device = await this.devices.lock(tx, deviceId);
      if (device.status === 'DECOMMISSIONED') throw devicesError('DEVICE_DECOMMISSIONED');
      const rotated = await this.credentials.rotateSecret(tx, { kind: 'device', id: deviceId, tenantId: me.tenantId });
      await this.audit.record(tx, {
        type: 'SECRET_ROTATED',
        tenantId: me.tenantId,
        deviceId,
        userId: me.id,
        actor: actorOf(me),
        details: { credentialId: rotated.credentialId, previousValidUntil: rotated.previousValidUntil },
      });
      return rotated;
    });
  }

  /** Messages signed with either secret verify for an hour. A device without one gets its first. */
  rotateHmacSecret(me: TenantPrincipal, deviceId: string): Promise<RotatedSecret> {
    return this.transactions.run({ tenantId: me.tenantId }, async (tx) => {
      const device = await this.devices.lock(tx, deviceId);
      if (device.status === 'DECOMMISSIONED') throw devicesError('DEVICE_DECOMMISSIONED');
      const rotated = await this.deviceSecrets.rotate(tx, device);
      await this.audit.record(tx, {
        type: 'SECRET_ROTATED',
        tenantId: me.tenantId,
        deviceId,
        userId: me.id,
        actor: actorOf(me),
        details: { kind: 'hmac', credentialId: rotated.credentialId, previousValidUntil: rotated.previousValidUntil },
      });
      return rotated;
    });
  }

  /** Revokes a credential and what came from it, then cuts the sessions of the device: they may rest on it. */
  async revokeCredential(
    me: TenantPrincipal,
    deviceId: string,
    credentialId: string,
    reason: string,
  ): Promise<{ revoked: string[]; ejection: Ejection }> {
    const owner = { kind: 'device', id: deviceId, tenantId: me.tenantId } as const;
    const { revoked, job } = await this.transactions.run({ tenantId: me.tenantId }, async (tx) => {
      await this.devices.lock(tx, deviceId);
      const revoked = await this.revokeInside(tx, owner, credentialId, reason);
      const { version } = await this.devices.get(tx, deviceId);
      await this.audit.record(tx, {
        type: 'CREDENTIAL_REVOKED',
        tenantId: me.tenantId,
        deviceId,
        userId: me.id,
        actor: actorOf(me),
        details: { credentialId, revoked, reason },
      });
      return { revoked, job: await this.ejector.order(tx, owner, 'CREDENTIAL_REVOKED', false, version) };
    });
    return { revoked, ejection: await this.ejector.eject(job) };
  }

  /** A secret or token with the tokens and certificates that came from it; or a certificate with those that renewed it. */
  private async revokeInside(
    tx: Transaction,
    owner: { readonly kind: 'device'; readonly id: string; readonly tenantId: string },
    credentialId: string,
    reason: string,
  ): Promise<string[]> {
    if (await this.deviceSecrets.has(tx, owner, credentialId)) return this.deviceSecrets.revoke(tx, owner, credentialId, reason);
    const certificate = await this.certificates.findOwn(tx, owner.id, credentialId);
    const revoked = certificate === null ? (await this.credentials.revoke(tx, owner, credentialId, reason)).revoked : [];
    const family = await this.certificates.lineage(tx, certificate === null ? { credentialIds: [credentialId] } : { ids: [credentialId] }, null);
    if (family.length === 0) return revoked;
    const done = await this.revocation.revokeInside(tx, family, 'privilegeWithdrawn');
    return [...revoked, ...done.certificates.map(({ id }) => id)];
  }

  createServiceAccount(me: TenantPrincipal, name: string): Promise<{ account: ServiceAccountRecord; secret: string }> {
    return this.transactions.run({ tenantId: me.tenantId }, async (tx) => {
      const account = await this.serviceAccounts.create(tx, { name });
      const { secret } = await this.credentials.issueSecret(tx, { kind: 'service', id: account.id, tenantId: me.tenantId });
      await this.audit.record(tx, {
        type: 'SERVICE_ACCOUNT_CREATED',
        tenantId: me.tenantId,
        userId: me.id,
        actor: actorOf(me),
        details: { serviceAccountId: account.id, name },
      });
      return { account, secret };
    });
  }

  rotateServiceSecret(me: TenantPrincipal, id: string): Promise<RotatedSecret & { account: ServiceAccountRecord }> {
    return this.transactions.run({ tenantId: me.tenantId }, async (tx) => {
      const account = await this.serviceAccounts.lock(tx, id);
      const rotated = await this.credentials.rotateSecret(tx, { kind: 'service', id, tenantId: me.tenantId });
      await this.audit.record(tx, {
        type: 'SECRET_ROTATED',
        tenantId: me.tenantId,
        userId: me.id,
        actor: actorOf(me),
        details: { serviceAccountId: id, credentialId: rotated.credentialId, previousValidUntil: rotated.previousValidUntil },
      });
      return { account, ...rotated };
    });
  }

  async disableServiceAccount(me: TenantPrincipal, id: string, reason: string): Promise<{ account: ServiceAccountRecord; ejection: Ejection }> {
    const target = { kind: 'service', id, tenantId: me.tenantId } as const;
    const { account, job } = await this.transactions.run({ tenantId: me.tenantId }, async (tx) => {
      const before = await this.serviceAccounts.lock(tx, id);
      const after = await this.serviceAccounts.changeStatus(tx, before, 'DISABLED');
      await this.audit.record(tx, {
        type: 'SERVICE_ACCOUNT_DISABLED',
        tenantId: me.tenantId,
        userId: me.id,
        actor: actorOf(me),
        details: { serviceAccountId: id, reason },
      });
      return { account: after, job: await this.ejector.order(tx, target, 'SERVICE_ACCOUNT_DISABLED', true, null) };
    });
    return { account, ejection: await this.ejector.eject(job) };
  }
}
