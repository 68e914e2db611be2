import { Injectable } from '@nestjs/common';
import { Pools } from '../platform/database/pools.js';
import type { Transaction } from '../platform/database/transactions.js';
import type { Keyset } from '../platform/http/paging.js';
import type { JsonObject } from './canonical-json.js';
import type { CommandRecord, CommandStatus } from './command.js';

interface CommandRow {
  readonly id: string;
  readonly tenant_id: string;
  readonly device_id: string;
  readonly type: string;
  readonly payload: JsonObject;
  readonly status: CommandStatus;
  readonly error: string | null;
  readonly attempts: number;
  readonly created_at: Date;
  readonly expires_at: Date;
  readonly sent_at: Date | null;
  readonly ended_at: Date | null;
  readonly at: string;
}

/** Where an open command is to be found. */
export interface DueCommand {
  readonly id: string;
  readonly tenantId: string;
  readonly deviceId: string;
  readonly expired: boolean;
}

export type NewCommand = Pick<CommandRecord, 'id' | 'deviceId' | 'type' | 'payload' | 'createdAt' | 'expiresAt'>;

const COLUMNS = `id, tenant_id, device_id, type, payload, status, error, attempts, created_at, expires_at, sent_at, ended_at,
  to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at`;
const OPEN = `status IN ('PENDING', 'SENT')`;

/** The table `commands`. Statements name the tenant beside row security; what is due is looked for over all tenants. */
@Injectable()
export class CommandsRepository {
  constructor(private readonly pools: Pools) {}

  async insert(tx: Transaction, command: NewCommand, createdBy: string): Promise<void> {
    const { id, deviceId, type, payload, createdAt, expiresAt } = command;
    await tx.query(
      `INSERT INTO commands (tenant_id, id, device_id, type, payload, created_by, created_at, expires_at, next_attempt_at)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $7)`,
      [tx.scope.tenantId, id, deviceId, type, JSON.stringify(payload), createdBy, createdAt, expiresAt],
    );
  }

  /** The command, locked until the transaction ends. */
  async lock(tx: Transaction, deviceId: string, id: string): Promise<CommandRecord | null> {
    const [row] = await tx.query<CommandRow>(
      `SELECT ${COLUMNS} FROM commands WHERE tenant_id = $1 AND device_id = $2 AND id = $3 FOR UPDATE`, [tx.scope.tenantId, deviceId, id]);
    return row ? recordOf(row) : null;
  }

  async find(tx: Transaction, deviceId: string, id: string): Promise<CommandRecord | null> {
    const [row] = await tx.query<CommandRow>(
      `SELECT ${COLUMNS} FROM commands WHERE tenant_id = $1 AND device_id = $2 AND id = $3`, [tx.scope.tenantId, deviceId, id]);
    return row ? recordOf(row) : null;
  }

  async page(tx: Transaction, deviceId: string, after: Keyset | undefined, limit: number): Promise<{ command: CommandRecord; key: Keyset }[]> {
    const rows = await tx.query<CommandRow>(
      `SELECT ${COLUMNS} FROM commands
        WHERE tenant_id = $1 AND device_id = $2 AND ($3::timestamptz IS NULL OR (created_at, id) > ($3::timestamptz, $4::uuid))
        ORDER BY created_at, id LIMIT $5`,
      [tx.scope.tenantId, deviceId, after?.at ?? null, after?.id ?? null, limit],
    );
    return rows.map((row) => ({ command: recordOf(row), key: { at: row.at, id: row.id } }));
  }

  /** An open command ends, or becomes SENT. */
  async change(tx: Transaction, id: string, to: CommandStatus, now: Date, error: string | null = null): Promise<void> {
    await tx.query(
      `UPDATE commands SET status = $3, error = $4, sent_at = CASE WHEN $3 IN ('SENT', 'ACKED', 'FAILED') THEN coalesce(sent_at, $5) ELSE sent_at END,
          ended_at = CASE WHEN $3 = 'SENT' THEN NULL ELSE $5::timestamptz END
        WHERE tenant_id = $1 AND id = $2`,
      [tx.scope.tenantId, id, to, error, now],
    );
  }

  /** Takes the turn to send: of several instances one. Null: it is another's, or nothing is to be sent any more. */
  async takeTurn(tx: Transaction, id: string, now: Date, again: Date): Promise<CommandRecord | null> {
    const [row] = await tx.query<CommandRow>(
      `UPDATE commands SET attempts = attempts + 1, next_attempt_at = $4
        WHERE tenant_id = $1 AND id = $2 AND ${OPEN} AND next_attempt_at <= $3 AND expires_at > $3 RETURNING ${COLUMNS}`,
      [tx.scope.tenantId, id, now, again],
    );
    return row ? recordOf(row) : null;
  }

  async postpone(tx: Transaction, id: string, until: Date): Promise<void> {
    await tx.query(`UPDATE commands SET next_attempt_at = $3 WHERE tenant_id = $1 AND id = $2 AND ${OPEN}`, [tx.scope.tenantId, id, until]);
  }

  /** Open commands of these devices are due at once. */
  async hasten(tx: Transaction, deviceIds: readonly string[], now: Date): Promise<void> {
    await tx.query(`UPDATE commands SET next_attempt_at = least(next_attempt_at, $3) WHERE tenant_id = $1 AND device_id = ANY($2::uuid[]) AND ${OPEN}`,
      [tx.scope.tenantId, deviceIds, now]);
  }

  /** Those of the devices that have an open command, with their tenants. */
  async waiting(deviceIds: readonly string[]): Promise<{ tenantId: string; deviceId: string }[]> {
    const { rows } = await this.pools.gate.query<{ tenant_id: string; device_id: string }>(
      `SELECT DISTINCT tenant_id, device_id FROM commands WHERE device_id = ANY($1::uuid[]) AND ${OPEN}`, [deviceIds]);
    return rows.map((row) => ({ tenantId: row.tenant_id, deviceId: row.device_id }));
  }

  async due(now: Date, limit: number): Promise<DueCommand[]> {
    const { rows } = await this.pools.gate.query<{ id: string; tenant_id: string; device_id: string; expired: boolean }>(
      `SELECT id, tenant_id, device_id, expires_at <= $1 AS expired FROM commands
        WHERE ${OPEN} AND (next_attempt_at <= $1 OR expires_at <= $1) ORDER BY next_attempt_at, id LIMIT $2`,
      [now, limit],
    );
    return rows.map((row) => ({ id: row.id, tenantId: row.tenant_id, deviceId: row.device_id, expired: row.expired }));
  }
}

function recordOf(row: CommandRow): CommandRecord {
  const { id, type, payload, status, error, attempts } = row;
  return {
    id, type, payload, status, error, attempts,
    tenantId: row.tenant_id,
    deviceId: row.device_id,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    sentAt: row.sent_at,
    endedAt: row.ended_at,
  };
}
