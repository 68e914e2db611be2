import { Injectable } from '@nestjs/common';
import pg from 'pg';
import { Pools } from '../platform/database/pools.js';
import type { Transaction } from '../platform/database/transactions.js';
import type { AuditRow } from './audit-row.js';

/** One statement however many rows there are. An id that is there already came from an attempt whose answer was lost. */
export const INSERT_AUDIT = {
  name: 'audit-insert',
  text: `
  INSERT INTO security_audit_logs
    (id, tenant_id, occurred_at, event_type, severity, device_id, user_id, actor_kind, actor_id, ip, request_id, details)
  SELECT r.id, r.tenant_id, r.occurred_at, r.event_type, r.severity, r.device_id, r.user_id, r.actor_kind, r.actor_id, r.ip,
         r.request_id, r.details::jsonb
    FROM json_to_recordset($1::json) AS r(id uuid, tenant_id uuid, occurred_at timestamptz, event_type text, severity text,
         device_id uuid, user_id uuid, actor_kind text, actor_id text, ip text, request_id text, details text)
  ON CONFLICT DO NOTHING`,
};

/** The only SQL that writes the log. */
@Injectable()
export class AuditRepository {
  constructor(private readonly pools: Pools) {}

  async insert(tx: Transaction, rows: readonly AuditRow[]): Promise<void> {
    await tx.prepared(INSERT_AUDIT, [payloadOf(rows)]);
  }

  /** All rows or none, in a transaction of its own for their one tenant (`null`: nobody's). */
  async insertBatch(tenantId: string | null, rows: readonly AuditRow[]): Promise<void> {
    const client = await this.pools.app.connect();
    // Without a listener a connection that is lost between two statements would end the process.
    client.on('error', ignore);
    let usable = true;
    try {
      await client.query('BEGIN');
      await client.query(`SELECT set_config('app.tenant', $1, true)`, [tenantId ?? '']);
      await client.query({ ...INSERT_AUDIT, values: [payloadOf(rows)] });
      await client.query('COMMIT');
    } catch (error) {
      // Only an answer of the server says that the connection still works; any other is closed, and rolls back by that.
      usable = error instanceof pg.DatabaseError && await client.query('ROLLBACK').then(() => true, () => false);
      throw error;
    } finally {
      client.off('error', ignore);
      client.release(!usable);
    }
  }

  /** Makes the partitions of this month and of `ahead` more; answers how many were missing. */
  async prepareMonths(ahead: number): Promise<number> {
    const { rows } = await this.pools.app.query<{ made: number }>('SELECT audit_prepare_months($1) AS made', [ahead]);
    return rows[0]?.made ?? 0;
  }
}

function ignore(): void {
  // The statement that is under way fails with the same error.
}

/** Its one parameter. */
export function payloadOf(rows: readonly AuditRow[]): string {
  return JSON.stringify(rows.map((row) => ({
    id: row.id,
    tenant_id: row.tenantId,
    occurred_at: new Date(row.occurredAt).toISOString(),
    event_type: row.eventType,
    severity: row.severity,
    device_id: row.deviceId,
    user_id: row.userId,
    actor_kind: row.actorKind,
    actor_id: row.actorId,
    ip: row.ip,
    request_id: row.requestId,
    details: row.details,
  })));
}
