import { Injectable } from '@nestjs/common';
import { Pools } from '../platform/database/pools.js';
import type { Transaction } from '../platform/database/transactions.js';
import type { Keyset } from '../platform/http/paging.js';
import type { AuditFilter } from './audit-filter.js';

/** A row as Postgres tells it. */
export interface AuditLogRow {
  readonly id: string;
  /** UTC with microseconds, as a cursor needs it. */
  readonly occurred_at: string;
  readonly event_type: string;
  readonly severity: string;
  readonly device_id: string | null;
  readonly user_id: string | null;
  readonly actor_kind: string;
  readonly actor_id: string | null;
  readonly ip: string | null;
  readonly request_id: string | null;
  readonly details: Record<string, unknown>;
}

/** Which rows, and how many, older than where the last page ended. */
export interface AuditQuery {
  readonly tenantId: string;
  readonly filter: AuditFilter;
  readonly after: Keyset | undefined;
  readonly limit: number;
}

/** Which rows that a reader has not seen yet: at or after a time, but for ids that it knows. Oldest first. */
export interface NewAuditQuery {
  readonly tenantId: string;
  readonly filter: AuditFilter;
  readonly since: string;
  readonly without: readonly string[];
  readonly limit: number;
}

interface Statement {
  readonly sql: string;
  readonly params: unknown[];
}

/** The only SQL that reads the log. */
@Injectable()
export class AuditLogRepository {
  constructor(private readonly pools: Pools) {}

  /** Rows of the transaction's tenant. */
  find(tx: Transaction, query: AuditQuery): Promise<AuditLogRow[]> {
    const { sql, params } = statement(['tenant_id = $1'], query);
    return tx.query<AuditLogRow>(sql, params);
  }

  /** Rows of the tenant and those of nobody, for the platform plane: past row security, hence with the tenant spelt out. */
  async findWithNobodys(query: AuditQuery): Promise<AuditLogRow[]> {
    const { sql, params } = statement(['tenant_id = $1', 'tenant_id IS NULL'], query);
    const { rows } = await this.pools.reader.query<AuditLogRow>(sql, params);
    return rows;
  }

  /** Rows of the transaction's tenant that are new. */
  findNew(tx: Transaction, query: NewAuditQuery): Promise<AuditLogRow[]> {
    const { sql, params } = newer('tenant_id = $1', query);
    return tx.query<AuditLogRow>(sql, params);
  }

  /** As `findWithNobodys`. */
  async findNewWithNobodys(query: NewAuditQuery): Promise<AuditLogRow[]> {
    const { sql, params } = newer('(tenant_id = $1 OR tenant_id IS NULL)', query);
    const { rows } = await this.pools.reader.query<AuditLogRow>(sql, params);
    return rows;
  }
}

const COLUMNS = `id, to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS occurred_at,
                 event_type, severity, device_id, user_id, actor_kind, actor_id, ip, request_id, details`;

/** The window is seconds long, so whatever it holds may be sorted. */
function newer(owner: string, { tenantId, filter, since, without, limit }: NewAuditQuery): Statement {
  const params: unknown[] = [tenantId, since, [...without], limit];
  const conditions = [owner, 'occurred_at >= $2::timestamptz', 'id <> ALL ($3::uuid[])', ...conditionsOf(filter, params)];
  return {
    params,
    sql: `SELECT ${COLUMNS} FROM security_audit_logs WHERE ${conditions.join(' AND ')}
           ORDER BY security_audit_logs.occurred_at, id LIMIT $4::integer`,
  };
}

/** Each owner's newest rows come from the index and are then merged: an OR of the two would sort the whole log. */
function statement(owners: readonly string[], { tenantId, filter, after, limit }: AuditQuery): Statement {
  const params: unknown[] = [tenantId];
  const bind = (value: unknown): string => `$${params.push(value)}`;
  const conditions = conditionsOf(filter, params);
  if (after) conditions.push(`(occurred_at, id) < (${bind(after.at)}::timestamptz, ${bind(after.id)}::uuid)`);
  const most = `${bind(limit)}::integer`;
  const newest = 'ORDER BY occurred_at DESC, id DESC LIMIT';
  const parts = owners.map((owner) =>
    `(SELECT * FROM security_audit_logs WHERE ${[owner, ...conditions].join(' AND ')} ${newest} ${most})`);
  return {
    params,
    sql: `SELECT ${COLUMNS}
            FROM (${parts.join(' UNION ALL ')}) AS log ${newest.replaceAll('occurred_at', 'log.occurred_at')} ${most}`,
  };
}

/** What a filter asks for; its values are added to the parameters. */
function conditionsOf(filter: AuditFilter, params: unknown[]): string[] {
  const bind = (value: unknown): string => `$${params.push(value)}`;
  const conditions: string[] = [];
  const { eventTypes, severities, deviceId, userId, from, to, q } = filter;
  if (eventTypes) conditions.push(`event_type = ANY(${bind(eventTypes)}::text[])`);
  if (severities) conditions.push(`severity = ANY(${bind(severities)}::text[])`);
  if (deviceId) conditions.push(`device_id = ${bind(deviceId)}::uuid`);
  if (userId) conditions.push(`user_id = ${bind(userId)}::uuid`);
  if (from !== null) conditions.push(`occurred_at >= to_timestamp(${bind(from)}::double precision / 1000)`);
  if (to !== null) conditions.push(`occurred_at < to_timestamp(${bind(to)}::double precision / 1000)`);
  if (q !== null) {
    const pattern = bind(`%${q.replace(/[\\%_]/g, '\\$&')}%`);
    const places = ['details::text', 'ip', 'actor_id', 'request_id'].map((place) => `${place} ILIKE ${pattern}`);
    conditions.push(`(${places.join(' OR ')})`);
  }
  return conditions;
}
