import { Injectable } from '@nestjs/common';
import type { Transaction } from '../platform/database/transactions.js';
import { logger } from '../platform/telemetry/logger.js';

/** Who connects to the broker: a device or a service account. */
export interface Subject {
  readonly kind: 'device' | 'service';
  readonly id: string;
  readonly tenantId: string;
}

/**
 * Port: told which subjects may do less than before. Their sessions were opened under wider rules and must be looked at again.
 * `why` is a code for the audit trail, such as `RULE_REMOVED`.
 */
export abstract class Narrowing {
  /** Inside the transaction of the change, so that no crash can part the change from what must follow it. */
  abstract ordered(tx: Transaction, subjects: readonly Subject[], why: string): Promise<void>;
  /** After the commit and after the gate's caches were invalidated. It must return at once. */
  abstract committed(): void;
}

/** Where a room above registers its `Narrowing`: this room cannot know it. */
@Injectable()
export class NarrowingHub extends Narrowing {
  private target: Narrowing | undefined;

  register(target: Narrowing): void {
    this.target = target;
  }

  async ordered(tx: Transaction, subjects: readonly Subject[], why: string): Promise<void> {
    if (subjects.length === 0) return;
    if (this.target) await this.target.ordered(tx, subjects, why);
    else logger.error({ subjects: subjects.length, why }, 'nobody looks after sessions that are wider than their rules');
  }

  committed(): void {
    this.target?.committed();
  }
}
