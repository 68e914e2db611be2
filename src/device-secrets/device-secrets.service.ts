import { randomBytes, randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { DevicesService } from '../devices/devices.service.js';
import { Clock } from '../platform/clock/clock.js';
import { DataKeys } from '../platform/crypto/data-keys.js';
import type { Transaction } from '../platform/database/transactions.js';
import { HMAC_OVERLAP_MS, HMAC_SECRET_BYTES, MAX_LIVE_HMAC_SECRETS, sealContext } from './device-secret.js';
import { deviceSecretsError } from './device-secrets.errors.js';
import { DeviceSecretsRepository, type NewDeviceSecret, type SecretOwner } from './device-secrets.repository.js';

/** Told this once. */
export interface IssuedHmacSecret {
  readonly credentialId: string;
  /** 64 hex digits: the 32 bytes of the key. */
  readonly secret: string;
}

export interface RotatedHmacSecret extends IssuedHmacSecret {
  /** Until when those from before verify; null: there was none. */
  readonly previousValidUntil: Date | null;
}

/**
 * HMAC secrets of devices. Methods are parts of somebody's larger change, who also audits it. Each raises the device's version, so
 * that no process judges by the secrets of before, and with it locks the device.
 */
@Injectable()
export class DeviceSecretsService {
  constructor(
    private readonly clock: Clock,
    private readonly keys: DataKeys,
    private readonly devices: DevicesService,
    private readonly repository: DeviceSecretsRepository,
  ) {}

  /** First secrets of devices that are registered in this very transaction: nobody has read of them yet. @returns hex, by device */
  async issueFirst(tx: Transaction, owners: readonly SecretOwner[]): Promise<ReadonlyMap<string, string>> {
    const now = new Date(this.clock.now());
    const made = await Promise.all(owners.map((owner) => this.make(owner)));
    await this.repository.insertAll(tx, made, now);
    return new Map(made.map(({ owner, secret }) => [owner.id, secret]));
  }

  /** A new secret; those from before verify for `overlapMs` at most. @throws HMAC_SECRET_LIMIT_REACHED, DEVICE_NOT_FOUND */
  async rotate(tx: Transaction, owner: SecretOwner, overlapMs = HMAC_OVERLAP_MS): Promise<RotatedHmacSecret> {
    await this.devices.touch(tx, owner.id);
    const now = new Date(this.clock.now());
    const previousValidUntil = await this.repository.supersede(tx, owner, now, new Date(now.getTime() + overlapMs));
    return { ...(await this.add(tx, owner, now)), previousValidUntil };
  }

  /** Whether the device has, or had, a secret of this id. */
  has(tx: Transaction, owner: SecretOwner, id: string): Promise<boolean> {
    return this.repository.exists(tx, owner, id);
  }

  /** Ends one secret at once. @returns ids that were revoked now */
  async revoke(tx: Transaction, owner: SecretOwner, id: string, reason: string): Promise<string[]> {
    await this.devices.touch(tx, owner.id);
    return this.repository.revoke(tx, owner, id, new Date(this.clock.now()), reason);
  }

  async revokeAll(tx: Transaction, owner: SecretOwner, reason: string): Promise<string[]> {
    await this.devices.touch(tx, owner.id);
    return this.repository.revoke(tx, owner, null, new Date(this.clock.now()), reason);
  }

  private async add(tx: Transaction, owner: SecretOwner, now: Date): Promise<IssuedHmacSecret> {
    if ((await this.repository.countLive(tx, owner, now)) >= MAX_LIVE_HMAC_SECRETS) throw deviceSecretsError('HMAC_SECRET_LIMIT_REACHED');
    const made = await this.make(owner);
    await this.repository.insertAll(tx, [made], now);
    return { credentialId: made.id, secret: made.secret };
  }

  private async make(owner: SecretOwner): Promise<NewDeviceSecret & { readonly secret: string }> {
    const id = randomUUID();
    const key = randomBytes(HMAC_SECRET_BYTES);
    return { owner, id, sealed: await this.keys.seal(sealContext(owner.tenantId, id), key), secret: key.toString('hex') };
  }
}
