import { Injectable } from '@nestjs/common';
import type { Role } from '../access/permission.js';
import { Pools } from '../platform/database/pools.js';
import type { Transaction } from '../platform/database/transactions.js';
import type { Keyset } from '../platform/http/paging.js';
import type { Pat, PatEnd } from './pat.js';
import { dottedScope, keptScope, type PatScope } from './pat-scope.js';

type Row = Omit<Pat, 'scopes'> & { readonly scopes: string[] };

export interface ListedPat extends Pat {
  /** `createdAt` with its microseconds, for the cursor. */
  readonly at: string;
}

/** What a request's token must be judged by: the token, and its owner's standing now. */
export interface PatStanding extends Pat {
  readonly digest: Buffer;
  readonly dataKeyId: string;
  readonly role: Role;
  readonly tenantFrozen: boolean;
}

export interface NewPatSecret {
  readonly digest: Buffer;
  readonly dataKeyId: string;
  readonly issuedAt: Date;
  readonly expiresAt: Date;
}

const COLUMNS = `p.id, p.user_id AS "userId", p.tenant_id AS "tenantId", p.name, p.description, p.scopes, p.networks,
  p.max_idle_seconds AS "maxIdleSeconds", p.created_at AS "createdAt", p.issued_at AS "issuedAt", p.expires_at AS "expiresAt",
  p.last_used_at AS "lastUsedAt", p.last_used_ip AS "lastUsedIp", p.revoked_at AS "revokedAt"`;

const AT = `to_char(p.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at`;

/** Owner, membership and tenant as they are now: none of it is kept with the token. */
const STANDING = {
  name: 'personal-access-token',
  text: `
    SELECT ${COLUMNS}, p.digest, p.data_key_id AS "dataKeyId", m.role, t.status = 'FROZEN' AS "tenantFrozen"
    FROM personal_access_tokens p
    JOIN users u ON u.id = p.user_id AND u.status = 'ACTIVE'
    JOIN memberships m ON m.tenant_id = p.tenant_id AND m.user_id = p.user_id AND m.status = 'ACTIVE'
    JOIN tenants t ON t.id = p.tenant_id
    WHERE p.id = $1 AND p.revoked_at IS NULL`,
};

/** The table `personal_access_tokens`. */
@Injectable()
export class PatsRepository {
  constructor(private readonly pools: Pools) {}

  /** `null` when there is no such token, or it or its owner's standing has ended. */
  async standing(id: string): Promise<PatStanding | null> {
    const { rows } = await this.pools.reader.query<Omit<PatStanding, 'scopes'> & { scopes: string[] }>({ ...STANDING, values: [id] });
    return rows[0] ? withScopes(rows[0]) : null;
  }

  async insert(tx: Transaction, pat: Omit<Pat, 'lastUsedAt' | 'lastUsedIp' | 'revokedAt'>, secret: NewPatSecret): Promise<void> {
    await tx.query(
      `INSERT INTO personal_access_tokens (id, tenant_id, user_id, name, description, digest, data_key_id, scopes, networks,
         max_idle_seconds, created_at, issued_at, expires_at)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $12)`,
      [
        pat.id, pat.tenantId, pat.userId, pat.name, pat.description, secret.digest, secret.dataKeyId,
        pat.scopes.map(dottedScope), pat.networks, pat.maxIdleSeconds, secret.issuedAt, secret.expiresAt,
      ],
    );
  }

  /** One token of the account in the transaction's tenant; nobody changes it until the transaction ends. */
  lock(tx: Transaction, userId: string, id: string): Promise<Pat | null> {
    return this.find(tx, userId, id, 'FOR UPDATE');
  }

  async find(tx: Transaction, userId: string, id: string, lock: 'FOR UPDATE' | '' = ''): Promise<Pat | null> {
    const [row] = await tx.query<Row>(
      `SELECT ${COLUMNS} FROM personal_access_tokens p WHERE p.tenant_id = $1 AND p.user_id = $2 AND p.id = $3 ${lock}`,
      [tx.scope.tenantId, userId, id],
    );
    return row ? withScopes(row) : null;
  }

  /** Tokens of the account in the transaction's tenant, oldest first. */
  async page(tx: Transaction, userId: string, limit: number, after: Keyset | undefined): Promise<ListedPat[]> {
    const rows = await tx.query<Row & { at: string }>(
      `SELECT ${COLUMNS}, ${AT} FROM personal_access_tokens p
       WHERE p.tenant_id = $1 AND p.user_id = $2 AND ($3::timestamptz IS NULL OR (p.created_at, p.id) > ($3::timestamptz, $4::uuid))
       ORDER BY p.created_at, p.id LIMIT $5`,
      [tx.scope.tenantId, userId, after?.at ?? null, after?.id ?? null, limit],
    );
    return rows.map(withScopes);
  }

  /** Living tokens of the tenant that nobody has used since `before`, whoever owns them. */
  async stale(tx: Transaction, now: Date, before: Date, limit: number, after: Keyset | undefined): Promise<ListedPat[]> {
    const rows = await tx.query<Row & { at: string }>(
      `SELECT ${COLUMNS}, ${AT} FROM personal_access_tokens p
       WHERE p.tenant_id = $1 AND p.revoked_at IS NULL AND p.expires_at > $2
         AND greatest(p.issued_at, p.last_used_at) < $3
         AND ($4::timestamptz IS NULL OR (p.created_at, p.id) > ($4::timestamptz, $5::uuid))
       ORDER BY p.created_at, p.id LIMIT $6`,
      [tx.scope.tenantId, now, before, after?.at ?? null, after?.id ?? null, limit],
    );
    return rows.map(withScopes);
  }

  /** Tokens of these accounts that are neither revoked nor over and bear one of these scopes (dotted), oldest first. */
  async bearing(tx: Transaction, userIds: readonly string[], scopes: readonly string[], now: Date): Promise<Pat[]> {
    const rows = await tx.query<Row>(
      `SELECT ${COLUMNS} FROM personal_access_tokens p
       WHERE p.tenant_id = $1 AND p.user_id = ANY($2::uuid[]) AND p.revoked_at IS NULL AND p.expires_at > $3 AND p.scopes && $4::text[]
       ORDER BY p.created_at, p.id`,
      [tx.scope.tenantId, userIds, now, scopes],
    );
    return rows.map(withScopes);
  }

  async setScopes(tx: Transaction, id: string, scopes: readonly PatScope[]): Promise<void> {
    await tx.query('UPDATE personal_access_tokens SET scopes = $2 WHERE id = $1', [id, scopes.map(dottedScope)]);
  }

  async setSecret(tx: Transaction, id: string, { digest, dataKeyId, issuedAt, expiresAt }: NewPatSecret): Promise<void> {
    await tx.query(
      'UPDATE personal_access_tokens SET digest = $2, data_key_id = $3, issued_at = $4, expires_at = $5 WHERE id = $1',
      [id, digest, dataKeyId, issuedAt, expiresAt],
    );
  }

  /** Revokes one token of the account in the transaction's tenant, or all; answers those that were not revoked before. */
  async revoke(tx: Transaction, userId: string, only: string | null, now: Date, reason: PatEnd): Promise<string[]> {
    const rows = await tx.query<{ id: string }>(
      `UPDATE personal_access_tokens SET revoked_at = $3, revoke_reason = $4
       WHERE tenant_id = $1 AND user_id = $2 AND revoked_at IS NULL AND ($5::uuid IS NULL OR id = $5) RETURNING id`,
      [tx.scope.tenantId, userId, now, reason, only],
    );
    return rows.map(({ id }) => id);
  }

  /** Revokes what the transaction's account has in any tenant; answers the tenants and how many each lost. */
  async revokeEverywhere(tx: Transaction, userId: string, now: Date, reason: PatEnd): Promise<{ tenantId: string; revoked: number }[]> {
    const rows = await tx.query<{ tenantId: string; revoked: string }>(
      `WITH ended AS (UPDATE personal_access_tokens SET revoked_at = $2, revoke_reason = $3
         WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2 RETURNING tenant_id)
       SELECT tenant_id AS "tenantId", count(*) AS revoked FROM ended GROUP BY tenant_id`,
      [userId, now, reason],
    );
    return rows.map(({ tenantId, revoked }) => ({ tenantId, revoked: Number(revoked) }));
  }

  /** Forgets the account's tokens that were revoked or ran out before this time. */
  async forget(tx: Transaction, userId: string, before: Date): Promise<void> {
    await tx.query(
      'DELETE FROM personal_access_tokens WHERE tenant_id = $1 AND user_id = $2 AND (revoked_at < $3 OR expires_at < $3)',
      [tx.scope.tenantId, userId, before],
    );
  }

  /** How many living tokens the account has in the transaction's tenant. */
  async countLiving(tx: Transaction, userId: string, now: Date): Promise<number> {
    const [row] = await tx.query<{ count: string }>(
      `SELECT count(id) AS count FROM personal_access_tokens
       WHERE tenant_id = $1 AND user_id = $2 AND revoked_at IS NULL AND expires_at > $3`,
      [tx.scope.tenantId, userId, now],
    );
    return Number(row?.count ?? 0);
  }

  async noteUse(tx: Transaction, id: string, at: Date, ip: string): Promise<void> {
    await tx.query(
      `UPDATE personal_access_tokens SET last_used_at = $2, last_used_ip = $3
       WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)`,
      [id, at, ip],
    );
  }
}

function withScopes<T extends { readonly scopes: string[] }>(row: T): Omit<T, 'scopes'> & { readonly scopes: PatScope[] } {
  return { ...row, scopes: row.scopes.map(keptScope).filter((scope) => scope !== null) };
}
