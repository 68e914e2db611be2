import { Injectable } from '@nestjs/common';
import { Pools } from '../platform/database/pools.js';
import type { Transaction } from '../platform/database/transactions.js';
import type { Keyset } from '../platform/http/paging.js';
import type { Tenant, TenantStatus } from './tenant.js';
import type { Member } from './user.js';

export interface ListedTenant extends Tenant {
  /** `createdAt` with its microseconds, for the cursor. */
  readonly at: string;
}

const COLUMNS = `id, slug, name, status, status_reason AS "statusReason", delete_after AS "deleteAfter", created_at AS "createdAt"`;
const micros = (column: string): string => `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;

/** The table `tenants`. What is read over all tenants goes through the reader role; what changes, through the tenant's own scope. */
@Injectable()
export class TenantsRepository {
  constructor(private readonly pools: Pools) {}

  async byId(id: string): Promise<Tenant | null> {
    return (await this.read(`SELECT ${COLUMNS} FROM tenants WHERE id = $1`, [id]))[0] ?? null;
  }

  async bySlug(slug: string): Promise<Tenant | null> {
    return (await this.read(`SELECT ${COLUMNS} FROM tenants WHERE slug = $1`, [slug]))[0] ?? null;
  }

  async page(limit: number, after: Keyset | undefined): Promise<ListedTenant[]> {
    const { rows } = await this.pools.reader.query<ListedTenant>(
      `SELECT ${COLUMNS}, ${micros('created_at')} AS at FROM tenants
       WHERE $1::timestamptz IS NULL OR (created_at, id) > ($1::timestamptz, $2::uuid) ORDER BY created_at, id LIMIT $3`,
      [after?.at ?? null, after?.id ?? null, limit],
    );
    return rows;
  }

  /** Members of any tenant, oldest first. */
  async members(tenantId: string, limit: number, after: Keyset | undefined): Promise<Member[]> {
    const { rows } = await this.pools.reader.query<Member>(
      `SELECT u.id, u.email, u.name, m.role, m.status, ${micros('m.created_at')} AS since
       FROM memberships m JOIN users u ON u.id = m.user_id
       WHERE m.tenant_id = $1 AND ($2::timestamptz IS NULL OR (m.created_at, m.user_id) > ($2::timestamptz, $3::uuid))
       ORDER BY m.created_at, m.user_id LIMIT $4`,
      [tenantId, after?.at ?? null, after?.id ?? null, limit],
    );
    return rows;
  }

  /** Tenants whose grace is over. */
  async doomed(now: Date): Promise<string[]> {
    const { rows } = await this.pools.reader.query<{ id: string }>('SELECT id FROM tenants WHERE delete_after <= $1 ORDER BY id', [now]);
    return rows.map(({ id }) => id);
  }

  /** Deletes all that a doomed tenant has, but its security log. Answers false if it is not doomed, or another instance is at it. */
  async purge(id: string, now: Date): Promise<boolean> {
    const { rows } = await this.pools.app.query<{ purged: boolean }>('SELECT tenant_purge($1, $2) AS purged', [id, now]);
    return rows[0]?.purged === true;
  }

  /** The scope must hold the new id. Answers false when the slug is taken; the transaction goes on. */
  async insert(tx: Transaction, id: string, slug: string, name: string): Promise<boolean> {
    const rows = await tx.query(
      'INSERT INTO tenants (id, slug, name) VALUES ($1, $2, $3) ON CONFLICT ON CONSTRAINT tenants_slug_key DO NOTHING RETURNING id',
      [id, slug, name],
    );
    return rows.length > 0;
  }

  async lock(tx: Transaction, id: string): Promise<Tenant | null> {
    return (await tx.query<Tenant>(`SELECT ${COLUMNS} FROM tenants WHERE id = $1 FOR NO KEY UPDATE`, [id]))[0] ?? null;
  }

  async rename(tx: Transaction, id: string, slug: string, name: string): Promise<void> {
    await tx.query('UPDATE tenants SET slug = $2, name = $3 WHERE id = $1', [id, slug, name]);
  }

  /** Raises the version in the same statement: the gate's caches know the status. */
  async setStatus(tx: Transaction, id: string, status: TenantStatus, reason: string | null, deleteAfter: Date | null): Promise<void> {
    await tx.query(
      'UPDATE tenants SET status = $2, status_reason = $3, delete_after = $4, version = version + 1 WHERE id = $1',
      [id, status, reason, deleteAfter],
    );
  }

  private async read(sql: string, params: unknown[]): Promise<Tenant[]> {
    return (await this.pools.reader.query<Tenant>(sql, params)).rows;
  }
}
