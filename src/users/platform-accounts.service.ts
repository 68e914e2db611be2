import { Injectable } from '@nestjs/common';
import type { PlatformRole } from '../access/permission.js';
import type { Principal } from '../access/principal.js';
import { actorOf, type AuditEventType } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { Transactions, type Transaction } from '../platform/database/transactions.js';
import { PlatformAccountsRepository, type AccountOverview } from './platform-accounts.repository.js';
import { StandingAccess, type EndedAccess } from './standing-access.js';
import { usersError } from './users.errors.js';
import { UsersRepository } from './users.repository.js';

/** What an account lost in one tenant. */
export interface LeftTenant extends EndedAccess {
  readonly tenantId: string;
  readonly slug: string;
  /** The tenant is left without an active ADMIN; the platform gives it one. */
  readonly withoutAdmin: boolean;
}

export interface Departure {
  readonly account: AccountOverview;
  /** Of all tenants, and those of none. */
  readonly sessionsEnded: number;
  readonly platformRoleBefore: PlatformRole | null;
  readonly tenants: readonly LeftTenant[];
  /** Milliseconds: the account closed, which refuses everything it has; then all that remained of it ended. */
  readonly steps: readonly { readonly step: string; readonly ms: number }[];
  readonly totalMs: number;
}

/** Accounts as the platform plane sees them: over all tenants. Password, name and address stay their owners'. */
@Injectable()
export class PlatformAccountsService {
  constructor(
    private readonly transactions: Transactions,
    private readonly repository: PlatformAccountsRepository,
    private readonly users: UsersRepository,
    private readonly standing: StandingAccess,
    private readonly audit: AuditService,
  ) {}

  /** @throws ACCOUNT_NOT_FOUND */
  async get(id: string): Promise<AccountOverview> {
    const account = await this.repository.find(id);
    if (!account) throw usersError('ACCOUNT_NOT_FOUND');
    return account;
  }

  /** Holds on the account's next request. @throws ACCOUNT_NOT_FOUND, LAST_PLATFORM_ADMIN */
  async setPlatformRole(actor: Principal, id: string, role: PlatformRole | null): Promise<AccountOverview> {
    await this.change(id, async (tx, before) => {
      if (before.platformRole === role) return;
      await this.keepPlatformAdmin(tx, id);
      await this.repository.update(tx, id, { platformRole: role });
      await this.record(tx, actor, 'USER_ROLE_CHANGED', id, { plane: 'platform', from: before.platformRole, to: role });
    });
    return this.get(id);
  }

  /**
   * Somebody leaves, in all tenants: the account is closed first, which refuses every credential it has on the next request; then its
   * memberships are disabled with their sessions, access tokens and sent invitations, each tenant in a transaction of its own. Twice is
   * once, and a call that was cut short is finished by the next. What this call cut is told.
   * @throws ACCOUNT_NOT_FOUND, LAST_PLATFORM_ADMIN
   */
  async offboard(actor: Principal, id: string, reason: string): Promise<Departure> {
    const started = performance.now();
    let sessionsEnded = 0;
    const before = await this.change(id, async (tx, account) => {
      await this.keepPlatformAdmin(tx, id);
      await this.repository.update(tx, id, { status: 'DISABLED', platformRole: null });
      sessionsEnded = await this.standing.endAccount(tx, id, 'account-disabled');
      const quiet = account.status === 'DISABLED' && account.platformRole === null && sessionsEnded === 0;
      const details = { account: true, sessionsEnded, platformRole: account.platformRole, reason, incident: 'offboarded' };
      if (!quiet) await this.record(tx, actor, 'USER_DISABLED', id, details);
    });
    const closed = performance.now();
    // Read now: a closed account joins nothing any more.
    const { memberships } = await this.get(id);
    const tenants: LeftTenant[] = [];
    for (const { tenantId, slug } of memberships) tenants.push({ tenantId, slug, ...(await this.leave(actor, tenantId, id, reason)) });
    const ended = performance.now();
    return {
      account: await this.get(id),
      sessionsEnded,
      platformRoleBefore: before.platformRole,
      tenants,
      steps: [{ step: 'account', ms: Math.round(closed - started) }, { step: 'tenants', ms: Math.round(ended - closed) }],
      totalMs: Math.round(ended - started),
    };
  }

  /** May log in again; memberships and the platform's role are given anew, one by one. @throws ACCOUNT_NOT_FOUND */
  async enable(actor: Principal, id: string): Promise<AccountOverview> {
    await this.change(id, async (tx, before) => {
      if (before.status === 'ACTIVE') return;
      await this.repository.update(tx, id, { status: 'ACTIVE' });
      await this.record(tx, actor, 'USER_ENABLED', id, { account: true });
    });
    return this.get(id);
  }

  private leave(actor: Principal, tenantId: string, userId: string, reason: string): Promise<EndedAccess & { withoutAdmin: boolean }> {
    return this.transactions.run({ tenantId }, async (tx) => {
      await this.users.lockForChange(tx, userId);
      const member = await this.users.member(tx, userId);
      if (member?.status === 'ACTIVE') await this.users.updateMembership(tx, userId, { status: 'DISABLED' });
      const ended = await this.standing.end(tx, tenantId, userId, 'membership-disabled');
      const { admins } = await this.users.lockForChange(tx, userId);
      const withoutAdmin = member?.role === 'ADMIN' && admins.length === 0;
      const quiet = member?.status !== 'ACTIVE' && Object.values(ended).every((count) => count === 0);
      const details = { ...ended, reason, incident: 'offboarded', byPlatform: true, withoutAdmin };
      if (!quiet) await this.audit.record(tx, { type: 'USER_DISABLED', tenantId, userId, actor: actorOf(actor), details });
      return { ...ended, withoutAdmin };
    });
  }

  /** Two that take the role from one another wait for each other, so that one of them stays. */
  private async keepPlatformAdmin(tx: Transaction, leaving: string): Promise<void> {
    await this.repository.lockPlatformAdmins(tx);
    const admins = await this.repository.platformAdmins();
    if (admins.includes(leaving) && admins.length === 1) throw usersError('LAST_PLATFORM_ADMIN');
  }

  private change(
    id: string,
    work: (tx: Transaction, before: { readonly status: string; readonly platformRole: PlatformRole | null }) => Promise<void>,
  ): Promise<{ readonly platformRole: PlatformRole | null }> {
    return this.transactions.run({ userId: id }, async (tx) => {
      const before = await this.users.account(tx, id, true);
      if (!before) throw usersError('ACCOUNT_NOT_FOUND');
      const { status, platformRole } = before;
      await work(tx, { status, platformRole });
      return { platformRole };
    });
  }

  private async record(tx: Transaction, actor: Principal, type: AuditEventType, userId: string, details: Record<string, unknown>): Promise<void> {
    await this.audit.record(tx, { type, tenantId: null, userId, actor: actorOf(actor), details });
  }
}
