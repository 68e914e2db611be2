import { Injectable } from '@nestjs/common';
import type { Principal } from '../access/principal.js';
import { actorOf } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { AuditStream } from '../audit/audit.stream.js';
import { Transactions } from '../platform/database/transactions.js';
import { RateLimitService } from '../rate-limit/rate-limit.service.js';
import { AccountsService } from '../users/accounts.service.js';
import type { Tenant } from '../users/tenant.js';
import { TenantsService } from '../users/tenants.service.js';
import { authError } from './auth.errors.js';
import { Passwords } from './passwords.js';
import { PatsService } from './pats.service.js';
import { SessionsService } from './sessions.service.js';

export interface Profile {
  readonly id: string;
  readonly email: string;
  readonly name: string;
  readonly tenant: Pick<Tenant, 'id' | 'slug' | 'name'> | null;
  readonly role: Principal['role'];
  readonly platformRole: Principal['platformRole'];
  readonly permissions: readonly string[];
}

export interface PasswordChange {
  readonly currentPassword: string;
  readonly newPassword: string;
  readonly endOtherSessions: boolean;
  /** Access tokens as well, in every tenant. */
  readonly revokeTokens: boolean;
}

/** What people do with their own account. */
@Injectable()
export class ProfileService {
  constructor(
    private readonly transactions: Transactions,
    private readonly accounts: AccountsService,
    private readonly tenants: TenantsService,
    private readonly passwords: Passwords,
    private readonly sessions: SessionsService,
    private readonly pats: PatsService,
    private readonly limits: RateLimitService,
    private readonly audit: AuditService,
    private readonly stream: AuditStream,
  ) {}

  async me({ id, tenantId, role, platformRole, permissions }: Principal): Promise<Profile> {
    const account = await this.transactions.run({ userId: id }, (tx) => this.accounts.find(tx, id));
    if (!account) throw authError('TOKEN_INVALID');
    const tenant = tenantId === null ? null : await this.tenants.find(tenantId);
    const { email, name } = account;
    return {
      id,
      email,
      name,
      tenant: tenant && { id: tenant.id, slug: tenant.slug, name: tenant.name },
      role,
      platformRole,
      permissions: [...permissions].sort(),
    };
  }

  /**
   * Answers how many other sessions ended; the caller's own goes on.
   * @throws CURRENT_PASSWORD_WRONG, PASSWORD_NOT_ACCEPTED, RATE_LIMITED, PASSWORD_CHECKS_BUSY
   */
  async changePassword(caller: Principal, change: PasswordChange): Promise<{ sessionsEnded: number; tokensRevoked: number }> {
    const { id: userId, tenantId, sessionId } = caller;
    await this.limits.enforce('password.user', userId);
    const account = await this.transactions.run({ userId }, (tx) => this.accounts.find(tx, userId));
    const { matches } = await this.passwords.verify(change.currentPassword, account?.passwordHash ?? null, 'known');
    if (!account || !matches) throw this.wrongPassword(caller);
    const passwordHash = await this.passwords.hash(change.newPassword, account);
    const done = await this.transactions.run({ userId, tenantId }, async (tx) => {
      const now = await this.accounts.lock(tx, userId);
      // Somebody changed it meanwhile: the password given is the current one no longer.
      if (now?.passwordHash !== account.passwordHash) return null;
      await this.accounts.setPasswordHash(tx, userId, passwordHash);
      const ended = change.endOtherSessions
        ? await this.sessions.endAll(tx, userId, { except: sessionId ?? '' }, 'password-changed')
        : [];
      const tokensRevoked = change.revokeTokens ? await this.pats.endEverywhere(tx, actorOf(caller), userId, 'password-changed') : 0;
      const details = { sessionsEnded: ended.length, tokensRevoked };
      await this.audit.record(tx, { type: 'USER_PASSWORD_CHANGED', tenantId, userId, actor: actorOf(caller), details });
      return { sessionsEnded: ended.length, tokensRevoked };
    });
    if (done === null) throw this.wrongPassword(caller);
    await this.limits.refund('password.user', userId);
    return done;
  }

  private wrongPassword(caller: Principal): Error {
    this.stream.note({
      type: 'AUTH_FAILURE',
      tenantId: caller.tenantId,
      userId: caller.id,
      actor: actorOf(caller),
      details: { reason: 'wrong-password', method: 'password-change' },
    });
    return authError('CURRENT_PASSWORD_WRONG');
  }
}
