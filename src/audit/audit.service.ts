import { Injectable } from '@nestjs/common';
import { Clock } from '../platform/clock/clock.js';
import type { Transaction } from '../platform/database/transactions.js';
import type { AuditEvent } from './audit-event.js';
import { AuditRepository } from './audit.repository.js';
import { rowOf } from './audit-row.js';

/** The lane of state changes and of refusals of people: the trace commits with the change, or neither does. */
@Injectable()
export class AuditService {
  constructor(
    private readonly repository: AuditRepository,
    private readonly clock: Clock,
  ) {}

  /**
   * Writes one row in the caller's transaction. The event's tenant must be that of the transaction, or `null`:
   * row security refuses a forged one, and the whole transaction with it.
   */
  async record(tx: Transaction, event: AuditEvent): Promise<void> {
    await this.recordAll(tx, [event]);
  }

  /** As `record`, for several in one statement. */
  async recordAll(tx: Transaction, events: readonly AuditEvent[]): Promise<void> {
    const now = this.clock.now();
    await this.repository.insert(tx, events.map((event) => rowOf(event, now)));
  }
}
