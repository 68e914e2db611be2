import pg from 'pg';
import type { Config } from '../platform/config/config.js';
import { connectionFor } from '../platform/database/connection.js';
import { rowOf } from './audit-row.js';
import { SYSTEM_ACTOR } from './audit-event.js';
import { INSERT_AUDIT, payloadOf } from './audit.repository.js';

/** A month of the log that is, or would be, dropped. */
export interface PrunedMonth {
  /** `security_audit_logs_202601`. */
  readonly partition: string;
  /** Table and indexes. */
  readonly bytes: number;
}

/**
 * Drops the months before the newest `keepMonths` (the current one counts), as the role that migrates: the application itself may
 * not. The row that says so is written in the same transaction, so that neither is without the other.
 * @param really false: only tells what would be dropped.
 * @throws when fewer than one month is to be kept.
 */
export async function pruneAudit(database: Config['database'], keepMonths: number, really: boolean): Promise<PrunedMonth[]> {
  const client = new pg.Client(connectionFor(database, 'migrator'));
  await client.connect();
  try {
    await client.query('BEGIN');
    const { rows } = await client.query<{ partition: string; bytes: string }>('SELECT partition, bytes FROM audit_prune_months($1, $2)', [keepMonths, really]);
    const months = rows.map(({ partition, bytes }) => ({ partition, bytes: Number(bytes) }));
    if (really && months.length > 0) {
      const event = { type: 'AUDIT_PRUNED', tenantId: null, actor: SYSTEM_ACTOR, details: { keepMonths, partitions: months.map(({ partition }) => partition) } } as const;
      await client.query({ ...INSERT_AUDIT, values: [payloadOf([rowOf(event, Date.now())])] });
    }
    await client.query('COMMIT');
    return months;
  } finally {
    // Ends a transaction that did not get to its end.
    await client.end();
  }
}

/** `portcullis audit prune --keep-months N [--really]`, in words. */
export function pruneReport(months: readonly PrunedMonth[], really: boolean): string {
  if (months.length === 0) return 'No month of the security log is that old.\n';
  const lines = months.map(({ partition, bytes }) => `${partition}  ${Math.ceil(bytes / 1024)} KiB`);
  return `${lines.join('\n')}\n${really ? 'dropped.' : 'would be dropped; add --really to do it. What is dropped is gone: export it first.'}\n`;
}
