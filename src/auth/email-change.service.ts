import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { Principal } from '../access/principal.js';
import { actorOf, ANONYMOUS_ACTOR } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { Clock } from '../platform/clock/clock.js';
import { DataKeys } from '../platform/crypto/data-keys.js';
import { Transactions } from '../platform/database/transactions.js';
import { RateLimitService } from '../rate-limit/rate-limit.service.js';
import { AccountsService } from '../users/accounts.service.js';
import { emailKey } from '../users/user.js';
import { usersError } from '../users/users.errors.js';
import { AccountTokensRepository } from './account-tokens.repository.js';
import { authError } from './auth.errors.js';
import { Letters } from './letters.js';
import { isKept, MAIL_TOKEN_PURPOSE, newMailToken, parseMailToken } from './mail-token.js';
import { Passwords } from './passwords.js';
import { SessionsService } from './sessions.service.js';

const CONFIRMATION_TTL_MS = 3_600_000;

/** Another e-mail address: asked for with the password, done when the old mailbox and the new one have both agreed. */
@Injectable()
export class EmailChangeService {
  constructor(
    private readonly transactions: Transactions,
    private readonly accounts: AccountsService,
    private readonly tokens: AccountTokensRepository,
    private readonly passwords: Passwords,
    private readonly sessions: SessionsService,
    private readonly letters: Letters,
    private readonly limits: RateLimitService,
    private readonly keys: DataKeys,
    private readonly audit: AuditService,
    private readonly clock: Clock,
  ) {}

  /**
   * Writes to both addresses. Whether the new one is taken is told only to whoever reads its mail.
   * @throws CURRENT_PASSWORD_WRONG, MAIL_NOT_CONFIGURED, RATE_LIMITED, PASSWORD_CHECKS_BUSY
   */
  async ask(caller: Principal, newEmail: string, password: string): Promise<void> {
    this.letters.demandMail();
    const { id: userId, tenantId } = caller;
    await this.limits.enforce('password.user', userId);
    const account = await this.transactions.run({ userId }, (tx) => this.accounts.find(tx, userId));
    const { matches } = await this.passwords.verify(password, account?.passwordHash ?? null, 'known');
    if (!account || !matches) throw authError('CURRENT_PASSWORD_WRONG');
    await this.limits.refund('password.user', userId);
    const now = this.clock.now();
    const key = await this.keys.current(MAIL_TOKEN_PURPOSE);
    const changeId = randomUUID();
    const expiresAt = new Date(now + CONFIRMATION_TTL_MS);
    const made = ([['email-old', account.email], ['email-new', newEmail]] as const).map(([purpose, to]) => {
      const id = randomUUID();
      const { token, ...kept } = newMailToken('pce_', id, key);
      return { to, token, row: { id, userId, purpose, changeId, newEmail, expiresAt, ...kept } };
    });
    await this.transactions.run({ userId, tenantId }, async (tx) => {
      await this.tokens.insert(tx, new Date(now), ...made.map(({ row }) => row));
      await this.audit.record(tx, { type: 'USER_EMAIL_CHANGE_REQUESTED', tenantId, userId, actor: actorOf(caller), details: { newEmail } });
    });
    for (const { to, token } of made) {
      this.letters.later(() => Promise.resolve({
        to,
        subject: 'Another e-mail address',
        text: `The e-mail address of an account is to change from ${account.email} to ${newEmail}. Both addresses must agree within an hour:\n\n`
          + `${this.letters.link('confirm-email', token)}\n\nIf that was not you, do nothing, and change your password.\n`,
      }));
    }
  }

  /**
   * One address agrees; the second one brings the change about, and ends every session: they were opened under the old address.
   * @throws CONFIRMATION_TOKEN_INVALID, USER_EMAIL_TAKEN, RATE_LIMITED
   */
  async confirm(given: string, address: string): Promise<{ changed: boolean }> {
    await this.limits.enforce('recovery.token', address);
    const parsed = parseMailToken('pce_', given);
    const token = parsed && (await this.tokens.find(parsed.id));
    if (!parsed || !token || token.newEmail === null || token.changeId === null) throw authError('CONFIRMATION_TOKEN_INVALID');
    const { id, userId, newEmail, changeId, digest, dataKeyId } = token;
    if (!isKept('pce_', await this.keys.find(dataKeyId), parsed, digest)) throw authError('CONFIRMATION_TOKEN_INVALID');
    const changed = await this.transactions.run({ userId, email: emailKey(newEmail) }, async (tx) => {
      const account = await this.accounts.lock(tx, userId);
      if (account?.status !== 'ACTIVE' || !(await this.tokens.spend(tx, id, new Date(this.clock.now())))) {
        throw authError('CONFIRMATION_TOKEN_INVALID');
      }
      if ((await this.tokens.unspent(tx, changeId)) > 0) return false;
      if (!(await this.accounts.setEmail(tx, userId, newEmail))) throw usersError('USER_EMAIL_TAKEN');
      await this.tokens.forgetAll(tx, userId);
      const ended = await this.sessions.endAll(tx, userId, 'all', 'email-changed');
      const details = { from: account.email, to: newEmail, sessionsEnded: ended.length };
      await this.audit.record(tx, { type: 'USER_EMAIL_CHANGED', tenantId: null, userId, actor: ANONYMOUS_ACTOR, ip: address, details });
      return true;
    });
    await this.limits.refund('recovery.token', address);
    return { changed };
  }
}
