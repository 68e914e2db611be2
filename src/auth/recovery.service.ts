import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { ANONYMOUS_ACTOR } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { Clock } from '../platform/clock/clock.js';
import { DataKeys } from '../platform/crypto/data-keys.js';
import { Transactions } from '../platform/database/transactions.js';
import type { Mail } from '../platform/mail/mailer.js';
import { RateLimitService } from '../rate-limit/rate-limit.service.js';
import { AccountsService } from '../users/accounts.service.js';
import { emailKey } from '../users/user.js';
import { AccountTokensRepository } from './account-tokens.repository.js';
import { authError } from './auth.errors.js';
import { Letters } from './letters.js';
import { isKept, MAIL_TOKEN_PURPOSE, newMailToken, parseMailToken } from './mail-token.js';
import { Passwords } from './passwords.js';
import { PatsService } from './pats.service.js';
import { SessionsService } from './sessions.service.js';

export const RECOVERY_TTL_MS = 5 * 60_000;

/** Passwords that were forgotten: a link by mail, good for five minutes and once. */
@Injectable()
export class RecoveryService {
  constructor(
    private readonly transactions: Transactions,
    private readonly accounts: AccountsService,
    private readonly tokens: AccountTokensRepository,
    private readonly passwords: Passwords,
    private readonly sessions: SessionsService,
    private readonly pats: PatsService,
    private readonly letters: Letters,
    private readonly limits: RateLimitService,
    private readonly keys: DataKeys,
    private readonly audit: AuditService,
    private readonly clock: Clock,
  ) {}

  /** Answers before anything is looked up: neither what it says nor how long it takes tells who has an account. @throws RATE_LIMITED, MAIL_NOT_CONFIGURED */
  async ask(email: string, address: string): Promise<void> {
    this.letters.demandMail();
    await this.limits.enforce('recovery.address', address);
    this.letters.later(() => this.compose(emailKey(email), address));
  }

  /**
   * Sets the password and ends every session of the account; its access tokens, too, where that is wished.
   * @throws RECOVERY_TOKEN_INVALID, PASSWORD_NOT_ACCEPTED (the token stays good), RATE_LIMITED, PASSWORD_CHECKS_BUSY
   */
  async reset(
    given: string,
    { newPassword, revokeTokens }: { readonly newPassword: string; readonly revokeTokens: boolean },
    address: string,
  ): Promise<{ sessionsEnded: number; tokensRevoked: number }> {
    await this.limits.enforce('recovery.token', address);
    const parsed = parseMailToken('pcp_', given);
    const token = parsed && (await this.tokens.find(parsed.id));
    const good = parsed && token?.purpose === 'recovery' && token.expiresAt.getTime() > this.clock.now()
      && isKept('pcp_', await this.keys.find(token.dataKeyId), parsed, token.digest);
    if (!good) throw authError('RECOVERY_TOKEN_INVALID');
    const { id, userId } = token;
    const account = await this.transactions.run({ userId }, (tx) => this.accounts.find(tx, userId));
    if (account?.status !== 'ACTIVE') throw authError('RECOVERY_TOKEN_INVALID');
    const passwordHash = await this.passwords.hash(newPassword, account);
    const done = await this.transactions.run({ userId }, async (tx) => {
      const now = await this.accounts.lock(tx, userId);
      if (now?.status !== 'ACTIVE' || !(await this.tokens.spend(tx, id, new Date(this.clock.now())))) return null;
      await this.accounts.setPasswordHash(tx, userId, passwordHash);
      // What else was on its way to a mailbox was asked for under the old password.
      await this.tokens.forgetAll(tx, userId);
      const ended = await this.sessions.endAll(tx, userId, 'all', 'password-recovered');
      const tokensRevoked = revokeTokens ? await this.pats.endEverywhere(tx, ANONYMOUS_ACTOR, userId, 'password-recovered') : 0;
      const details = { method: 'recovery', sessionsEnded: ended.length, tokensRevoked };
      await this.audit.record(tx, { type: 'USER_PASSWORD_CHANGED', tenantId: null, userId, actor: ANONYMOUS_ACTOR, ip: address, details });
      return { sessionsEnded: ended.length, tokensRevoked };
    });
    if (done === null) throw authError('RECOVERY_TOKEN_INVALID');
    await this.limits.refund('recovery.token', address);
    return done;
  }

  private async compose(key: string, address: string): Promise<Mail | null> {
    const account = await this.transactions.run({ email: key }, (tx) => this.accounts.findByEmail(tx, key));
    if (account?.status !== 'ACTIVE') return null;
    if (!(await this.limits.spend('recovery.account', account.id)).allowed) return null;
    const { id: userId, email } = account;
    const id = randomUUID();
    const { token, ...kept } = newMailToken('pcp_', id, await this.keys.current(MAIL_TOKEN_PURPOSE));
    const now = this.clock.now();
    await this.transactions.run({ userId }, async (tx) => {
      const expiresAt = new Date(now + RECOVERY_TTL_MS);
      await this.tokens.insert(tx, new Date(now), { id, userId, purpose: 'recovery', changeId: null, newEmail: null, expiresAt, ...kept });
      const event = { type: 'USER_PASSWORD_RESET_REQUESTED', tenantId: null, userId, actor: ANONYMOUS_ACTOR, ip: address } as const;
      await this.audit.record(tx, event);
    });
    return {
      to: email,
      subject: 'A new password',
      text: `Somebody asked for a new password for your account. Within five minutes, set it here:\n\n${this.letters.link('reset-password', token)}\n\n`
        + 'If that was not you, do nothing: your password stays as it is.\n',
    };
  }
}
