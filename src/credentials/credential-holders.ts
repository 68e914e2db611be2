import { Injectable, type OnModuleInit } from '@nestjs/common';
import { CredentialHoldings, HoldingsSource, type HoldingQuestion } from '../devices/holdings.js';
import { Clock } from '../platform/clock/clock.js';
import type { Transaction } from '../platform/database/transactions.js';
import { ISSUED_KINDS, type IssuedKind } from './credential.js';
import { CredentialsRepository } from './credentials.repository.js';

/** Answers the device list's question who holds a live secret or token. */
@Injectable()
export class CredentialHolders extends HoldingsSource implements OnModuleInit {
  readonly kinds = ISSUED_KINDS;

  constructor(
    private readonly holdings: CredentialHoldings,
    private readonly repository: CredentialsRepository,
    private readonly clock: Clock,
  ) {
    super();
  }

  onModuleInit(): void {
    this.holdings.register(this);
  }

  override async holders(
    tx: Transaction,
    deviceIds: readonly string[],
    { kind, expiringBefore }: HoldingQuestion,
  ): Promise<readonly string[]> {
    const { tenantId } = tx.scope;
    if (!tenantId) return [];
    const wanted = ISSUED_KINDS.find((candidate): candidate is IssuedKind => candidate === kind) ?? null;
    return this.repository.holders(tx, tenantId, deviceIds, new Date(this.clock.now()), wanted, expiringBefore ?? null);
  }
}
