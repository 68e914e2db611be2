import { Injectable } from '@nestjs/common';
import type { PlatformRole, Role } from '../access/permission.js';
import { Pools } from '../platform/database/pools.js';
import type { Transaction } from '../platform/database/transactions.js';
import type { Keyset } from '../platform/http/paging.js';

export interface Invitation {
  readonly id: string;
  readonly tenantId: string;
  readonly email: string;
  readonly role: Role;
  readonly invitedBy: string;
  readonly createdAt: Date;
  readonly expiresAt: Date;
}

export interface ListedInvitation extends Invitation {
  readonly at: string;
}

/** An invitation with what decides whether it still counts. */
export interface PendingInvitation extends Invitation {
  readonly digest: Buffer;
  readonly dataKeyId: string;
  readonly tenantFrozen: boolean;
  /** The role that whoever sent it has in the tenant now. */
  readonly inviterRole: Role | null;
  readonly inviterPlatformRole: PlatformRole | null;
}

const COLUMNS = `i.id, i.tenant_id AS "tenantId", i.email, i.role, i.invited_by AS "invitedBy", i.created_at AS "createdAt",
  i.expires_at AS "expiresAt"`;
const OPEN = 'i.accepted_at IS NULL AND i.revoked_at IS NULL';

/** The table `invitations`. */
@Injectable()
export class InvitationsRepository {
  constructor(private readonly pools: Pools) {}

  async pending(id: string): Promise<PendingInvitation | null> {
    const { rows } = await this.pools.reader.query<PendingInvitation>(
      `SELECT ${COLUMNS}, i.digest, i.data_key_id AS "dataKeyId", t.status = 'FROZEN' AS "tenantFrozen", m.role AS "inviterRole",
         u.platform_role AS "inviterPlatformRole"
       FROM invitations i JOIN tenants t ON t.id = i.tenant_id JOIN users u ON u.id = i.invited_by AND u.status = 'ACTIVE'
       LEFT JOIN memberships m ON m.tenant_id = i.tenant_id AND m.user_id = i.invited_by AND m.status = 'ACTIVE'
       WHERE i.id = $1 AND ${OPEN}`,
      [id],
    );
    return rows[0] ?? null;
  }

  async insert(tx: Transaction, invitation: Invitation, kept: { digest: Buffer; dataKeyId: string }): Promise<void> {
    const { id, tenantId, email, role, invitedBy, createdAt, expiresAt } = invitation;
    await tx.query(
      `INSERT INTO invitations (id, tenant_id, email, role, invited_by, digest, data_key_id, created_at, expires_at)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
      [id, tenantId, email, role, invitedBy, kept.digest, kept.dataKeyId, createdAt, expiresAt],
    );
  }

  async page(tx: Transaction, now: Date, limit: number, after: Keyset | undefined): Promise<ListedInvitation[]> {
    return tx.query<ListedInvitation>(
      `SELECT ${COLUMNS}, to_char(i.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at FROM invitations i
       WHERE i.tenant_id = $1 AND ${OPEN} AND i.expires_at > $2
         AND ($3::timestamptz IS NULL OR (i.created_at, i.id) > ($3::timestamptz, $4::uuid))
       ORDER BY i.created_at, i.id LIMIT $5`,
      [tx.scope.tenantId, now, after?.at ?? null, after?.id ?? null, limit],
    );
  }

  /** Spends an invitation; of two that try at once, one gets true. */
  async accept(tx: Transaction, id: string, now: Date): Promise<boolean> {
    const rows = await tx.query(
      `UPDATE invitations i SET accepted_at = $2 WHERE i.id = $1 AND i.tenant_id = $3 AND ${OPEN} AND i.expires_at > $2 RETURNING i.id`,
      [id, now, tx.scope.tenantId],
    );
    return rows.length > 0;
  }

  /** Takes back one pending invitation of the tenant, or all that an account has sent; answers their ids. */
  async revoke(tx: Transaction, which: { readonly id: string } | { readonly invitedBy: string }, now: Date): Promise<string[]> {
    const [condition, value] = 'id' in which ? ['i.id = $3', which.id] : ['i.invited_by = $3', which.invitedBy];
    const rows = await tx.query<{ id: string }>(
      `UPDATE invitations i SET revoked_at = $2 WHERE i.tenant_id = $1 AND ${OPEN} AND ${condition} RETURNING i.id`,
      [tx.scope.tenantId, now, value],
    );
    return rows.map(({ id }) => id);
  }
}
