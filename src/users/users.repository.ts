import { Injectable } from '@nestjs/common';
import type { Role } from '../access/permission.js';
import type { Transaction } from '../platform/database/transactions.js';
import type { Keyset } from '../platform/http/paging.js';
import { MembershipEntity } from './membership.entity.js';
import { UserEntity } from './user.entity.js';
import { emailKey, type Account, type Belonging, type Member, type MembershipStatus, type NewAccount } from './user.js';

const MEMBER = `
  SELECT u.id, u.email, u.name, m.role, m.status,
    to_char(m.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS since
  FROM memberships m JOIN users u ON u.id = m.user_id`;

/** The tables `users` and `memberships`. Row security narrows every statement to the transaction's tenant and account. */
@Injectable()
export class UsersRepository {
  /** Members of the transaction's tenant, oldest first. */
  async page(tx: Transaction, limit: number, after: Keyset | undefined): Promise<Member[]> {
    return tx.query<Member>(
      `${MEMBER} WHERE m.tenant_id = $1 AND ($2::timestamptz IS NULL OR (m.created_at, m.user_id) > ($2::timestamptz, $3::uuid))
       ORDER BY m.created_at, m.user_id LIMIT $4`,
      [tx.scope.tenantId, after?.at ?? null, after?.id ?? null, limit],
    );
  }

  async member(tx: Transaction, id: string): Promise<Member | null> {
    const rows = await tx.query<Member>(`${MEMBER} WHERE m.tenant_id = $1 AND m.user_id = $2`, [tx.scope.tenantId, id]);
    return rows[0] ?? null;
  }

  /**
   * Locks the memberships that hold the tenant together, then the one that is about to change; answers who is an ADMIN that can
   * log in. Every change of a membership comes through here, so two of them cannot each count on the other's ADMIN.
   */
  async lockForChange(tx: Transaction, id: string): Promise<{ admins: string[] }> {
    const admins = await tx.query<{ id: string }>(
      `SELECT m.user_id AS id FROM memberships m JOIN users u ON u.id = m.user_id
       WHERE m.tenant_id = $1 AND m.role = 'ADMIN' AND m.status = 'ACTIVE' AND u.status = 'ACTIVE'
       ORDER BY m.user_id FOR UPDATE OF m`,
      [tx.scope.tenantId],
    );
    await tx.query('SELECT 1 FROM memberships WHERE tenant_id = $1 AND user_id = $2 FOR UPDATE', [tx.scope.tenantId, id]);
    return { admins: admins.map((admin) => admin.id) };
  }

  /** Answers false when an account with this address exists; the transaction goes on. */
  async insertAccount(tx: Transaction, account: NewAccount): Promise<boolean> {
    const result = await tx.manager
      .createQueryBuilder()
      .insert()
      .into(UserEntity)
      .values({ ...account, emailKey: emailKey(account.email), platformRole: account.platformRole ?? null, status: 'ACTIVE' })
      .orIgnore()
      .returning('id')
      .execute();
    return (result.raw as unknown[]).length > 0;
  }

  /** Answers false when there is one already, disabled or not. */
  async insertMembership(tx: Transaction, tenantId: string, userId: string, role: Role): Promise<boolean> {
    const rows = await tx.query(
      `INSERT INTO memberships (tenant_id, user_id, role, status) VALUES ($1, $2, $3, 'ACTIVE') ON CONFLICT DO NOTHING RETURNING user_id`,
      [tenantId, userId, role],
    );
    return rows.length > 0;
  }

  async updateMembership(tx: Transaction, userId: string, change: { role: Role } | { status: MembershipStatus }): Promise<void> {
    await tx.manager.getRepository(MembershipEntity).update({ tenantId: tx.scope.tenantId ?? '', userId }, change);
  }

  async deleteMembership(tx: Transaction, userId: string): Promise<void> {
    await tx.manager.getRepository(MembershipEntity).delete({ tenantId: tx.scope.tenantId ?? '', userId });
  }

  /** The account of a folded address; visible to a transaction with that e-mail in its scope. */
  async accountByEmail(tx: Transaction, key: string): Promise<Account | null> {
    return tx.manager.getRepository(UserEntity).findOneBy({ emailKey: key });
  }

  /** @param lock holds back whoever changes the account, until the transaction ends. */
  async account(tx: Transaction, id: string, lock: boolean): Promise<Account | null> {
    return tx.manager.getRepository(UserEntity).findOne({
      where: { id },
      // Weaker than FOR UPDATE: foreign keys that point to the account need not wait.
      ...(lock ? { lock: { mode: 'for_no_key_update' as const } } : {}),
    });
  }

  async setEmail(tx: Transaction, id: string, email: string): Promise<boolean> {
    const taken = await tx.query('SELECT 1 FROM users WHERE email_key = $1 AND id <> $2', [emailKey(email), id]);
    if (taken.length > 0) return false;
    await tx.query('UPDATE users SET email = $2, email_key = $3, updated_at = now() WHERE id = $1', [id, email, emailKey(email)]);
    return true;
  }

  async setPasswordHash(tx: Transaction, id: string, passwordHash: string): Promise<void> {
    await tx.query('UPDATE users SET password_hash = $2, updated_at = now() WHERE id = $1', [id, passwordHash]);
  }

  /**
   * Tenants in which the account may act, oldest membership first; visible to a transaction with the account in its scope.
   * @param only answers this tenant alone and locks the membership against being disabled meanwhile.
   */
  async belongings(tx: Transaction, userId: string, only?: string): Promise<Belonging[]> {
    return tx.query<Belonging>(
      `SELECT m.tenant_id AS "tenantId", t.slug, t.name, m.role
       FROM memberships m JOIN tenants t ON t.id = m.tenant_id
       WHERE m.user_id = $1 AND m.status = 'ACTIVE' AND ($2::uuid IS NULL OR m.tenant_id = $2::uuid)
       ORDER BY m.created_at, m.tenant_id ${only === undefined ? '' : 'FOR SHARE OF m'}`,
      [userId, only ?? null],
    );
  }
}
