import { Injectable } from '@nestjs/common';
import { DevicesService } from '../devices/devices.service.js';
import { Transactions } from '../platform/database/transactions.js';
import { WriteBehind } from '../platform/database/write-behind.js';
import { Lru } from '../platform/redis/lru.js';
import { CertificatesRepository } from './certificates.repository.js';

interface Use {
  readonly kind: 'device' | 'service';
  readonly ownerId: string;
  readonly tenantId: string;
  /** Milliseconds. */
  readonly at: number;
}

/** A use is written at most so often a certificate. */
const EVERY_MS = 60_000;
const MAX_WRITTEN = 50_000;

/**
 * When each certificate was used: noted in memory, written aside. The first use of a renewed certificate ends the overlap of the one
 * before it.
 */
@Injectable()
export class CertificateUse extends WriteBehind<Use> {
  private readonly written = new Lru<string, number>(MAX_WRITTEN);

  constructor(
    private readonly transactions: Transactions,
    private readonly devices: DevicesService,
    private readonly repository: CertificatesRepository,
  ) {
    // One certificate a transaction: two instances never wait for each other in a circle.
    super({ what: 'the use of a certificate', everyMs: 2_000, most: 20_000, batch: 1 });
  }

  /** Never waits and never fails. */
  note(certificateId: string, owner: { readonly kind: 'device' | 'service'; readonly id: string; readonly tenantId: string }, at: number): void {
    const before = this.written.get(certificateId);
    if ((before !== undefined && at - before < EVERY_MS) || this.kept(certificateId) !== undefined) return;
    this.keep(certificateId, { kind: owner.kind, ownerId: owner.id, tenantId: owner.tenantId, at });
  }

  protected async write(tenantId: string, uses: ReadonlyMap<string, Use>): Promise<void> {
    for (const [id, use] of uses) {
      await this.transactions.run({ tenantId }, async (tx) => {
        const now = new Date(use.at);
        // The device before its certificates, as whoever renews them does: else the two would wait for each other.
        if (use.kind === 'device' && await this.repository.endsOverlap(tx, id, now)) await this.devices.lockStates(tx, [use.ownerId]);
        const ended = await this.repository.noteUse(tx, id, now);
        // The gate must see the end of the one before.
        if (ended && use.kind === 'device') await this.devices.touch(tx, use.ownerId);
      });
      this.written.set(id, use.at);
    }
  }
}
