import type { Transaction } from '../platform/database/transactions.js';

export interface EndedAccess {
  readonly sessionsEnded: number;
  readonly patsRevoked: number;
  /** Invitations that the person had sent. */
  readonly invitationsRevoked: number;
}

export type AccessEnd = 'membership-disabled' | 'membership-removed';

/**
 * Port through which a membership that ends takes along everything with which its person could still act in that tenant:
 * the room that hands out sessions and access tokens implements it.
 */
export abstract class StandingAccess {
  /** Ends it all in the caller's transaction; answers how much that was. What the person has in other tenants stays. */
  abstract end(tx: Transaction, tenantId: string, userId: string, reason: AccessEnd): Promise<EndedAccess>;

  /**
   * Ends every session of an account, whatever tenant it acts in, and the links that are on their way to its mailbox; answers how many
   * sessions that were. The scope must hold the account. Access tokens and invitations belong to tenants: `end`.
   */
  abstract endAccount(tx: Transaction, userId: string, reason: 'account-disabled'): Promise<number>;
}
