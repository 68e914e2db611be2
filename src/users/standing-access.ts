import type { Transaction } from '../platform/database/transactions.js';

export type AccessEnd = 'membership-disabled' | 'membership-removed';

/**
 * Port through which a membership that ends takes along everything with which its person could still act in that tenant:
 * the room that hands out sessions implements it.
 */
export abstract class StandingAccess {
  /** Ends it all in the caller's transaction; answers how many sessions ended. Other tenants' sessions stay. */
  abstract end(tx: Transaction, tenantId: string, userId: string, reason: AccessEnd): Promise<number>;
}
