import { Injectable, type OnModuleInit } from '@nestjs/common';
import { CredentialListing, CredentialListings, type ListedCredential } from '../devices/credential-listing.js';
import { CredentialHoldings, HoldingsSource, type HoldingQuestion } from '../devices/holdings.js';
import { Clock } from '../platform/clock/clock.js';
import type { Transaction } from '../platform/database/transactions.js';
import type { Keyset } from '../platform/http/paging.js';
import { CertificatesRepository } from './certificates.repository.js';

/** Shows certificates among a device's credentials. */
@Injectable()
export class CertificateListing extends CredentialListing implements OnModuleInit {
  constructor(
    private readonly listings: CredentialListings,
    private readonly repository: CertificatesRepository,
  ) {
    super();
  }

  onModuleInit(): void {
    this.listings.register(this);
  }

  override async list(tx: Transaction, deviceId: string, after: Keyset | undefined, limit: number): Promise<ListedCredential[]> {
    return (await this.repository.page(tx, { kind: 'device', id: deviceId }, after, limit)).map(({ certificate, key }) => ({
      key,
      id: certificate.id,
      kind: 'certificate',
      createdAt: certificate.createdAt,
      notBefore: certificate.notBefore,
      expiresAt: certificate.endsAt ?? certificate.notAfter,
      supersededAt: certificate.supersededAt,
      revokedAt: certificate.revokedAt,
      parentId: certificate.parentId ?? certificate.credentialId,
      lastUsedAt: certificate.lastUsedAt,
    }));
  }
}

/** Answers the device list's question who holds a good certificate. */
@Injectable()
export class CertificateHolders extends HoldingsSource implements OnModuleInit {
  readonly kinds = ['certificate'] as const;

  constructor(
    private readonly holdings: CredentialHoldings,
    private readonly repository: CertificatesRepository,
    private readonly clock: Clock,
  ) {
    super();
  }

  onModuleInit(): void {
    this.holdings.register(this);
  }

  override holders(tx: Transaction, deviceIds: readonly string[], { expiringBefore }: HoldingQuestion): Promise<readonly string[]> {
    return this.repository.holders(tx, deviceIds, new Date(this.clock.now()), expiringBefore ?? null);
  }
}
