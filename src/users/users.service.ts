import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { mayGrant, Permission, type Role } from '../access/permission.js';
import type { TenantPrincipal } from '../access/principal.js';
import { actorOf, type AuditEventType } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { Transactions, type Transaction } from '../platform/database/transactions.js';
import { decodeCursor, DEFAULT_PAGE, pageOf, type Page } from '../platform/http/paging.js';
import { PasswordHashing } from './password-hashing.js';
import { StandingAccess, type EndedAccess } from './standing-access.js';
import { emailKey, type Member } from './user.js';
import { usersError } from './users.errors.js';
import { UsersRepository } from './users.repository.js';

export interface NewUser {
  readonly email: string;
  readonly password: string;
  readonly name: string;
  readonly role?: Role;
}

/** What an ADMIN does with the people of a tenant. It acts on the membership; the account stays its owner's. */
@Injectable()
export class UsersService {
  constructor(
    private readonly transactions: Transactions,
    private readonly repository: UsersRepository,
    private readonly audit: AuditService,
    private readonly passwords: PasswordHashing,
    private readonly standing: StandingAccess,
  ) {}

  async list({ tenantId }: TenantPrincipal, query: { limit?: number; cursor?: string }): Promise<Page<Member>> {
    const limit = query.limit ?? DEFAULT_PAGE;
    const after = decodeCursor(query.cursor);
    const rows = await this.transactions.run({ tenantId }, (tx) => this.repository.page(tx, limit + 1, after));
    return pageOf(rows, limit, (row) => ({ at: row.since, id: row.id }), (row) => row);
  }

  /** @throws USER_NOT_FOUND */
  async get({ tenantId }: TenantPrincipal, id: string): Promise<Member> {
    return this.transactions.run({ tenantId }, (tx) => this.found(tx, id));
  }

  /**
   * Creates an account together with its membership; VIEWER unless the role is given.
   * @throws USER_EMAIL_TAKEN, PASSWORD_NOT_ACCEPTED, GRANT_EXCEEDS_OWN
   */
  async create(actor: TenantPrincipal, user: NewUser): Promise<Member> {
    refuseExcess(actor, user.role ?? 'VIEWER');
    const id = randomUUID();
    const passwordHash = await this.passwords.hash(user.password, user);
    const role = user.role ?? 'VIEWER';
    return this.transactions.run({ tenantId: actor.tenantId, userId: id, email: emailKey(user.email) }, async (tx) => {
      const created = await this.repository.insertAccount(tx, { id, email: user.email, name: user.name, passwordHash });
      if (!created) throw usersError('USER_EMAIL_TAKEN');
      await this.repository.insertMembership(tx, actor.tenantId, id, role);
      await this.record(tx, actor, 'USER_CREATED', id, { role });
      return this.found(tx, id);
    });
  }

  /**
   * Makes an account that exists a member of the actor's tenant. Only for callers who may see all accounts.
   * @throws USER_NOT_FOUND, MEMBER_EXISTS
   */
  async addExisting(actor: TenantPrincipal, email: string, role: Role): Promise<Member> {
    return this.transactions.run({ tenantId: actor.tenantId, email: emailKey(email) }, async (tx) => {
      const account = await this.repository.accountByEmail(tx, emailKey(email));
      if (account?.status !== 'ACTIVE') throw usersError('USER_NOT_FOUND');
      if (!(await this.repository.insertMembership(tx, actor.tenantId, account.id, role))) throw usersError('MEMBER_EXISTS');
      await this.record(tx, actor, 'TENANT_MEMBER_ADDED', account.id, { role });
      return this.found(tx, account.id);
    });
  }

  /** Holds from the member's next request on. @throws USER_NOT_FOUND, LAST_ADMIN, GRANT_EXCEEDS_OWN */
  async changeRole(actor: TenantPrincipal, id: string, role: Role): Promise<Member> {
    refuseExcess(actor, role);
    return this.change(actor, id, async (tx, member, isLastAdmin) => {
      if (member.role === role) return;
      if (isLastAdmin) throw usersError('LAST_ADMIN');
      await this.repository.updateMembership(tx, id, { role });
      await this.record(tx, actor, 'USER_ROLE_CHANGED', id, { from: member.role, to: role });
    });
  }

  /** Ends the member's sessions and access tokens in this tenant, in the same transaction. @throws USER_NOT_FOUND, LAST_ADMIN */
  async disable(actor: TenantPrincipal, id: string): Promise<Member> {
    return this.change(actor, id, async (tx, member, isLastAdmin) => {
      if (member.status === 'DISABLED') return;
      if (isLastAdmin) throw usersError('LAST_ADMIN');
      await this.repository.updateMembership(tx, id, { status: 'DISABLED' });
      const ended = await this.standing.end(tx, actor.tenantId, id, 'membership-disabled');
      await this.record(tx, actor, 'USER_DISABLED', id, { ...ended });
    });
  }

  /**
   * Somebody leaves: disabled, with everything with which they could still act here. Twice is once; what this call cut is told.
   * @throws USER_NOT_FOUND, LAST_ADMIN
   */
  async offboard(actor: TenantPrincipal, id: string, reason: string): Promise<{ member: Member; cut: EndedAccess; tookMs: number }> {
    const started = performance.now();
    let cut: EndedAccess = { sessionsEnded: 0, patsRevoked: 0, invitationsRevoked: 0 };
    const member = await this.change(actor, id, async (tx, before, isLastAdmin) => {
      if (isLastAdmin) throw usersError('LAST_ADMIN');
      if (before.status === 'ACTIVE') await this.repository.updateMembership(tx, id, { status: 'DISABLED' });
      cut = await this.standing.end(tx, actor.tenantId, id, 'membership-disabled');
      const quiet = before.status === 'DISABLED' && Object.values(cut).every((count) => count === 0);
      if (!quiet) await this.record(tx, actor, 'USER_DISABLED', id, { ...cut, reason, incident: 'offboarded' });
    });
    return { member, cut, tookMs: Math.round(performance.now() - started) };
  }

  /** @throws USER_NOT_FOUND */
  async enable(actor: TenantPrincipal, id: string): Promise<Member> {
    return this.change(actor, id, async (tx, member) => {
      if (member.status === 'ACTIVE') return;
      await this.repository.updateMembership(tx, id, { status: 'ACTIVE' });
      await this.record(tx, actor, 'USER_ENABLED', id, {});
    });
  }

  /** Ends the membership and, in the same transaction, its sessions and access tokens. The account stays. @throws USER_NOT_FOUND, LAST_ADMIN */
  async remove(actor: TenantPrincipal, id: string): Promise<void> {
    await this.change(actor, id, async (tx, member, isLastAdmin) => {
      if (isLastAdmin) throw usersError('LAST_ADMIN');
      const ended = await this.standing.end(tx, actor.tenantId, id, 'membership-removed');
      await this.record(tx, actor, 'USER_REMOVED', id, { role: member.role, ...ended });
      await this.repository.deleteMembership(tx, id);
    });
  }

  /** Runs a change under the locks that keep the tenant its ADMIN; answers the member as it is afterwards. */
  private async change(
    actor: TenantPrincipal,
    id: string,
    work: (tx: Transaction, member: Member, isLastAdmin: boolean) => Promise<void>,
  ): Promise<Member> {
    return this.transactions.run({ tenantId: actor.tenantId }, async (tx) => {
      const { admins } = await this.repository.lockForChange(tx, id);
      const member = await this.found(tx, id);
      await work(tx, member, admins.length === 1 && admins[0] === id);
      return (await this.repository.member(tx, id)) ?? member;
    });
  }

  private async found(tx: Transaction, id: string): Promise<Member> {
    const member = await this.repository.member(tx, id);
    if (!member) throw usersError('USER_NOT_FOUND');
    return member;
  }

  private async record(
    tx: Transaction,
    actor: TenantPrincipal,
    type: AuditEventType,
    userId: string,
    details: Record<string, unknown>,
  ): Promise<void> {
    await this.audit.record(tx, { type, tenantId: actor.tenantId, userId, actor: actorOf(actor), details });
  }
}

function refuseExcess({ permissions }: TenantPrincipal, role: Role): void {
  if (permissions.has(Permission.PlatformMembersWrite) || mayGrant(permissions, role)) return;
  throw usersError('GRANT_EXCEEDS_OWN', { detail: `The role ${role} allows more than you may.` });
}
