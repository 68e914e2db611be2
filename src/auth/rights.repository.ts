import { Injectable } from '@nestjs/common';
import type { Role } from '../access/permission.js';
import type { Transaction } from '../platform/database/transactions.js';
import type { Keyset } from '../platform/http/paging.js';

/** A person as the guard would find them now, but for a session. */
export interface Standing {
  readonly id: string;
  readonly email: string;
  readonly name: string;
  readonly role: Role;
  /** Both the membership and the account. */
  readonly active: boolean;
}

export type ListedStanding = Standing & { readonly at: string };

const STANDING = `
  SELECT u.id, u.email, u.name, m.role, (m.status = 'ACTIVE' AND u.status = 'ACTIVE') AS active,
    to_char(m.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at
  FROM memberships m JOIN users u ON u.id = m.user_id WHERE m.tenant_id = $1`;

/** People of a tenant with all that the guard's own look-up joins, for questions about them. */
@Injectable()
export class RightsRepository {
  async find(tx: Transaction, userId: string): Promise<Standing | null> {
    const [row] = await tx.query<ListedStanding>(`${STANDING} AND m.user_id = $2`, [tx.scope.tenantId, userId]);
    return row ?? null;
  }

  /** Active members who have one of the roles or are named, oldest first. */
  candidates(tx: Transaction, roles: readonly Role[], named: readonly string[], after: Keyset | undefined, limit: number): Promise<ListedStanding[]> {
    return tx.query(
      `${STANDING} AND m.status = 'ACTIVE' AND u.status = 'ACTIVE' AND (m.role = ANY($2::text[]) OR m.user_id = ANY($3::uuid[]))
        AND ($4::timestamptz IS NULL OR (m.created_at, m.user_id) > ($4::timestamptz, $5::uuid))
       ORDER BY m.created_at, m.user_id LIMIT $6`,
      [tx.scope.tenantId, roles, named, after?.at ?? null, after?.id ?? null, limit],
    );
  }
}
