import { Injectable } from '@nestjs/common';
import type { PlatformRole, Role } from '../access/permission.js';
import { Pools } from '../platform/database/pools.js';
import type { Transaction } from '../platform/database/transactions.js';
import type { AccountStatus, MembershipStatus } from './user.js';

export interface AccountMembership {
  readonly tenantId: string;
  readonly slug: string;
  readonly role: Role;
  readonly status: MembershipStatus;
}

/** An account with all that it belongs to. */
export interface AccountOverview {
  readonly id: string;
  readonly email: string;
  readonly name: string;
  readonly status: AccountStatus;
  readonly platformRole: PlatformRole | null;
  readonly createdAt: Date;
  readonly memberships: readonly AccountMembership[];
}

/** Held by whoever may take the last PLATFORM_ADMIN away, until the transaction ends. */
const PLATFORM_ADMINS_LOCK = 7_305_144;

/** The tables `users` and `memberships` over all tenants: read by the reader role, changed in the account's own scope. */
@Injectable()
export class PlatformAccountsRepository {
  constructor(private readonly pools: Pools) {}

  async find(id: string): Promise<AccountOverview | null> {
    const { rows } = await this.pools.reader.query<Omit<AccountOverview, 'memberships'>>(
      'SELECT id, email, name, status, platform_role AS "platformRole", created_at AS "createdAt" FROM users WHERE id = $1',
      [id],
    );
    if (!rows[0]) return null;
    const memberships = await this.pools.reader.query<AccountMembership>(
      `SELECT m.tenant_id AS "tenantId", t.slug, m.role, m.status FROM memberships m JOIN tenants t ON t.id = m.tenant_id
        WHERE m.user_id = $1 ORDER BY m.created_at, m.tenant_id`,
      [id],
    );
    return { ...rows[0], memberships: memberships.rows };
  }

  async lockPlatformAdmins(tx: Transaction): Promise<void> {
    await tx.query('SELECT pg_advisory_xact_lock($1)', [PLATFORM_ADMINS_LOCK]);
  }

  /** Those that can log in, as committed. */
  async platformAdmins(): Promise<string[]> {
    const { rows } = await this.pools.reader.query<{ id: string }>(
      `SELECT id FROM users WHERE platform_role = 'PLATFORM_ADMIN' AND status = 'ACTIVE' ORDER BY id`,
    );
    return rows.map(({ id }) => id);
  }

  async update(tx: Transaction, id: string, change: { readonly status?: AccountStatus; readonly platformRole?: PlatformRole | null }): Promise<void> {
    if (change.status !== undefined) await tx.query('UPDATE users SET status = $2, updated_at = now() WHERE id = $1', [id, change.status]);
    if (change.platformRole !== undefined) await tx.query('UPDATE users SET platform_role = $2, updated_at = now() WHERE id = $1', [id, change.platformRole]);
  }
}
