import { Injectable, type OnModuleInit } from '@nestjs/common';
import { CredentialListing, CredentialListings, type ListedCredential } from '../devices/credential-listing.js';
import { CredentialHoldings, HoldingsSource, type HoldingQuestion } from '../devices/holdings.js';
import { Clock } from '../platform/clock/clock.js';
import type { Transaction } from '../platform/database/transactions.js';
import type { Keyset } from '../platform/http/paging.js';
import { DeviceSecretsRepository } from './device-secrets.repository.js';

/** Shows HMAC secrets among a device's credentials; never the secret. */
@Injectable()
export class DeviceSecretsListing extends CredentialListing implements OnModuleInit {
  constructor(
    private readonly listings: CredentialListings,
    private readonly repository: DeviceSecretsRepository,
  ) {
    super();
  }

  onModuleInit(): void {
    this.listings.register(this);
  }

  override async list(tx: Transaction, deviceId: string, after: Keyset | undefined, limit: number): Promise<ListedCredential[]> {
    const rows = await this.repository.list(tx, { id: deviceId, tenantId: tx.scope.tenantId ?? '' }, after, limit);
    return rows.map((row) => ({
      id: row.id,
      kind: 'hmac',
      createdAt: row.created_at,
      notBefore: row.created_at,
      expiresAt: row.expires_at,
      supersededAt: row.superseded_at,
      revokedAt: row.revoked_at,
      parentId: null,
      lastUsedAt: null,
      key: { at: row.at, id: row.id },
    }));
  }
}

/** Answers the device list's question who holds a live HMAC secret. */
@Injectable()
export class DeviceSecretsHolders extends HoldingsSource implements OnModuleInit {
  readonly kinds = ['hmac'] as const;

  constructor(
    private readonly holdings: CredentialHoldings,
    private readonly repository: DeviceSecretsRepository,
    private readonly clock: Clock,
  ) {
    super();
  }

  onModuleInit(): void {
    this.holdings.register(this);
  }

  override async holders(tx: Transaction, deviceIds: readonly string[], { expiringBefore }: HoldingQuestion): Promise<readonly string[]> {
    const { tenantId } = tx.scope;
    if (!tenantId) return [];
    return this.repository.holders(tx, tenantId, deviceIds, new Date(this.clock.now()), expiringBefore ?? null);
  }
}
