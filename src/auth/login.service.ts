import { Injectable } from '@nestjs/common';
import { ANONYMOUS_ACTOR } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { AuditStream } from '../audit/audit.stream.js';
import { Transactions } from '../platform/database/transactions.js';
import { isAppError } from '../platform/problem/app-error.js';
import { AccountsService } from '../users/accounts.service.js';
import { emailKey, type Account, type Belonging } from '../users/user.js';
import { authError } from './auth.errors.js';
import { KnownBrowsers } from './known-browser.js';
import { LoginThrottle, type LoginAttempt } from './login-throttle.js';
import { Passwords, type PasswordVerdict } from './passwords.js';
import type { Grant, Origin, Transport } from './session.js';
import { SessionsService } from './sessions.service.js';

export interface LoginInput {
  readonly email: string;
  readonly password: string;
  readonly transport: Transport;
  /** Slug or id; without it the tenant of the oldest active membership. */
  readonly tenant?: string;
  /** The browser's mark of an earlier login. */
  readonly mark?: string;
}

/** No account has it: looking it up takes as long as looking up one that exists. */
const NOBODY = '00000000-0000-0000-0000-000000000000';

type Refusal = 'unknown-account' | 'wrong-password' | 'account-disabled' | 'not-a-member' | 'changed-meanwhile';

/**
 * Logs people in. Whatever is wrong (no such account, wrong password, disabled, no member of the tenant named) gets one answer
 * after the same work.
 */
@Injectable()
export class LoginService {
  constructor(
    private readonly transactions: Transactions,
    private readonly accounts: AccountsService,
    private readonly passwords: Passwords,
    private readonly sessions: SessionsService,
    private readonly throttle: LoginThrottle,
    private readonly browsers: KnownBrowsers,
    private readonly audit: AuditService,
    private readonly stream: AuditStream,
  ) {}

  /** @throws INVALID_CREDENTIALS, RATE_LIMITED, PASSWORD_CHECKS_BUSY */
  async login(input: LoginInput, origin: Origin): Promise<Grant & { mark: string | null }> {
    const key = emailKey(input.email);
    const attempt = { account: key, address: origin.ip, browser: await this.browsers.recognise(input.mark, key) };
    await this.throttle.enter(attempt);
    const account = await this.transactions.run({ email: key }, (tx) => this.accounts.findByEmail(tx, key));
    const { matches, outdated } = await this.check(input.password, account, attempt);
    const userId = account?.id ?? NOBODY;
    const belongings = await this.transactions.run({ userId }, (tx) => this.accounts.belongings(tx, userId));
    const { tenant, refusal } = judge(account, matches, belongings, input.tenant);
    if (!account || refusal !== null) throw this.refused(refusal ?? 'unknown-account', account, tenant, key, origin);
    const passwordHash = outdated ? await this.passwords.rehash(input.password) : null;
    const grant = await this.begin(account, tenant, input.transport, passwordHash, origin);
    if (!grant) throw this.refused('changed-meanwhile', account, tenant, key, origin);
    await this.throttle.uncounted(attempt);
    const mark = input.transport === 'cookie' && attempt.browser === null ? await this.browsers.mark(key) : null;
    return { ...grant, mark };
  }

  /** What was not looked at for want of time is no failure: whoever comes again when told to is not slowed down for it. */
  private async check(password: string, account: Account | null, attempt: LoginAttempt): Promise<PasswordVerdict> {
    try {
      return await this.passwords.verify(password, account?.passwordHash ?? null, attempt.browser === null ? 'anybody' : 'known');
    } catch (error) {
      if (isAppError(error, 'PASSWORD_CHECKS_BUSY')) await this.throttle.uncounted(attempt);
      throw error;
    }
  }

  /** Opens the session, unless password, account or membership changed while the password was being checked. */
  private async begin(
    account: Account,
    tenant: Belonging | null,
    transport: Transport,
    passwordHash: string | null,
    origin: Origin,
  ): Promise<Grant | null> {
    const userId = account.id;
    const tenantId = tenant?.tenantId ?? null;
    return this.transactions.run({ userId, tenantId }, async (tx) => {
      const now = await this.accounts.lock(tx, userId);
      if (now?.status !== 'ACTIVE' || now.passwordHash !== account.passwordHash) return null;
      if (tenantId !== null && !(await this.accounts.lockBelonging(tx, userId, tenantId))) return null;
      if (passwordHash !== null) await this.accounts.setPasswordHash(tx, userId, passwordHash);
      const grant = await this.sessions.start(tx, userId, tenantId, transport, origin);
      await this.audit.record(tx, {
        type: 'AUTH_SUCCESS',
        tenantId,
        userId,
        actor: { kind: 'user', id: userId },
        ip: origin.ip,
        details: { method: 'password', transport, sessionId: grant.sessionId },
      });
      return grant;
    });
  }

  /** The log tells what the answer does not, to the tenant that the account would have entered. */
  private refused(reason: Refusal, account: Account | null, tenant: Belonging | null, key: string, origin: Origin): Error {
    this.stream.note({
      type: 'AUTH_FAILURE',
      tenantId: tenant?.tenantId ?? null,
      userId: account?.id ?? null,
      actor: ANONYMOUS_ACTOR,
      ip: origin.ip,
      details: { reason, method: 'password', account: key },
    });
    return authError('INVALID_CREDENTIALS', { internal: reason, headers: { 'WWW-Authenticate': 'Bearer realm="portcullis"' } });
  }
}

/** Which tenant is entered, and what stands against it. */
function judge(
  account: Account | null,
  matches: boolean,
  belongings: readonly Belonging[],
  named: string | undefined,
): { tenant: Belonging | null; refusal: Refusal | null } {
  const wanted = named === undefined ? belongings[0] : belongings.find(({ tenantId, slug }) => tenantId === named || slug === named);
  const tenant = wanted ?? null;
  if (!account) return { tenant, refusal: 'unknown-account' };
  if (!matches) return { tenant, refusal: 'wrong-password' };
  if (account.status !== 'ACTIVE') return { tenant, refusal: 'account-disabled' };
  return { tenant, refusal: named !== undefined && tenant === null ? 'not-a-member' : null };
}
