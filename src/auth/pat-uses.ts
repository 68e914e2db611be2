import { Injectable } from '@nestjs/common';
import { Transactions } from '../platform/database/transactions.js';
import { WriteBehind } from '../platform/database/write-behind.js';
import { PatsRepository } from './pats.repository.js';

interface Use {
  readonly tenantId: string;
  /** Milliseconds. */
  readonly at: number;
  readonly ip: string;
}

/** When and from where each token was used last: noted in memory, written every two seconds, before a list and at shutdown. */
@Injectable()
export class PatUses extends WriteBehind<Use> {
  constructor(
    private readonly transactions: Transactions,
    private readonly repository: PatsRepository,
  ) {
    // One row a transaction: two instances never wait for each other in a circle.
    super({ what: 'last uses of access tokens', everyMs: 2_000, most: 10_000, batch: 1 });
  }

  /** Never waits and never fails. */
  note(id: string, use: Use): void {
    this.keep(id, use);
  }

  /** A use that is not written yet, in milliseconds. */
  unwritten(id: string): number | undefined {
    return this.kept(id)?.at;
  }

  protected write(tenantId: string, uses: ReadonlyMap<string, Use>): Promise<void> {
    return this.transactions.run({ tenantId }, async (tx) => {
      for (const [id, { at, ip }] of uses) await this.repository.noteUse(tx, id, new Date(at), ip);
    });
  }
}
