import type { Transaction } from '../platform/database/transactions.js';

/** The tenant that the transaction acts in. Statements name it beside row security: ownership is enforced twice. */
export function tenantOf(tx: Transaction): string {
  const { tenantId } = tx.scope;
  if (!tenantId) throw new Error('the registry was used outside of a tenant');
  return tenantId;
}
