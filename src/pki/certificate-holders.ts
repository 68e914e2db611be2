import { Injectable, type OnModuleInit } from '@nestjs/common';
import { CredentialHoldings, HoldingsSource, type HoldingQuestion, type HeldCredential } from '../devices/holdings.js';
import { Clock } from '../platform/clock/clock.js';
import type { Transaction } from '../platform/database/transactions.js';
import type { Keyset } from '../platform/http/paging.js';
import { stateOf } from './certificate.js';
import { CertificatesRepository } from './certificates.repository.js';

/** Answers the registry's questions about who holds certificates, and which. */
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

  override async page(tx: Transaction, deviceId: string, after: Keyset | undefined, limit: number): Promise<HeldCredential[]> {
    const now = this.clock.now();
    return (await this.repository.page(tx, deviceId, after, limit)).map(({ certificate, key }) => ({
      key,
      id: certificate.id,
      kind: 'certificate',
      state: stateOf(certificate, now),
      createdAt: certificate.createdAt,
      notBefore: certificate.notBefore,
      expiresAt: certificate.endsAt ?? certificate.notAfter,
      parentId: certificate.parentId ?? certificate.credentialId,
      lastUsedAt: certificate.lastUsedAt,
    }));
  }
}
