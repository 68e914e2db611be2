import { Injectable } from '@nestjs/common';
import { ANONYMOUS_ACTOR } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { AuditStream } from '../audit/audit.stream.js';
import { Clock } from '../platform/clock/clock.js';
import { Transactions, type Transaction } from '../platform/database/transactions.js';
import { RateLimitService } from '../rate-limit/rate-limit.service.js';
import { AccountsService } from '../users/accounts.service.js';
import { authError } from './auth.errors.js';
import { CsrfTokens } from './csrf.js';
import { RefreshSecrets } from './refresh-secrets.js';
import { parseRefreshToken, type RefreshToken } from './refresh-token.js';
import { isLiving, type Grant, type Origin, type Session } from './session.js';
import { SessionsRepository } from './sessions.repository.js';
import { SessionsService } from './sessions.service.js';

/** Where the refresh token came from; what goes out goes the same way. */
export type RefreshInput =
  | { readonly transport: 'json'; readonly token: string }
  | { readonly transport: 'cookie'; readonly token: string; readonly csrf: string | string[] | undefined };

type Refusal = 'unreadable' | 'unknown-session' | 'ended' | 'foreign-token' | 'other-transport' | 'not-active' | 'reused';
type Outcome = { readonly grant: Grant } | { readonly refusal: Refusal };

/**
 * Exchanges a refresh token for the next pair. Every token works once: of two requests that bring the same one, exactly one is
 * answered, and the other proves that the token is in two hands, which ends the session for both (RFC 9700 §4.14.2). There is no
 * grace for an honest double click: the server cannot tell it from a thief, so clients must let one refresh run at a time.
 */
@Injectable()
export class RefreshService {
  constructor(
    private readonly transactions: Transactions,
    private readonly repository: SessionsRepository,
    private readonly sessions: SessionsService,
    private readonly secrets: RefreshSecrets,
    private readonly accounts: AccountsService,
    private readonly csrf: CsrfTokens,
    private readonly limits: RateLimitService,
    private readonly audit: AuditService,
    private readonly stream: AuditStream,
    private readonly clock: Clock,
  ) {}

  /** @throws REFRESH_TOKEN_INVALID, CSRF_TOKEN_INVALID, RATE_LIMITED */
  async refresh(input: RefreshInput, origin: Origin): Promise<Grant> {
    await this.limits.enforce('refresh.address', origin.ip);
    const token = parseRefreshToken(input.token);
    if (!token) throw this.refused('unreadable', null, null, origin);
    if (input.transport === 'cookie' && !(await this.csrf.matches(token.sessionId, input.csrf))) throw authError('CSRF_TOKEN_INVALID');
    const { userId, sessionId } = token;
    const seen = await this.transactions.run({ userId }, (tx) => this.repository.find(tx, userId, sessionId));
    if (!seen) throw this.refused('unknown-session', token, null, origin);
    const { tenantId } = seen;
    const outcome = await this.transactions.run({ userId, tenantId }, (tx) => this.exchange(tx, token, seen, input, origin));
    if ('refusal' in outcome) throw this.refused(outcome.refusal, token, seen, origin);
    // Only refusals count against the address.
    await this.limits.refund('refresh.address', origin.ip);
    return outcome.grant;
  }

  /** Answers refusals as values: the end of a family must be committed, and a throw would take it back. */
  private async exchange(tx: Transaction, token: RefreshToken, seen: Session, input: RefreshInput, origin: Origin): Promise<Outcome> {
    const { userId, tenantId, id } = seen;
    // The membership before the session, as everywhere: whoever disables it locks in the same order.
    const member = tenantId === null || (await this.accounts.lockBelonging(tx, userId, tenantId)) !== null;
    const session = await this.repository.lock(tx, userId, id);
    if (!session) return { refusal: 'unknown-session' };
    if (!isLiving(session, this.clock.now())) return { refusal: 'ended' };
    const standing = await this.secrets.standing(token, session.refreshDigest);
    if (standing === 'foreign') return { refusal: 'foreign-token' };
    if (standing === 'spent') {
      await this.sessions.endAll(tx, userId, { only: id }, 'refresh-reuse');
      const details = { sessionId: id };
      await this.audit.record(tx, { type: 'SESSION_REUSED', tenantId, userId, actor: ANONYMOUS_ACTOR, ip: origin.ip, details });
      return { refusal: 'reused' };
    }
    // A token that was handed out out of reach of scripts must not be exchanged within their reach, nor the other way round.
    if (session.transport !== input.transport) return { refusal: 'other-transport' };
    const account = await this.accounts.find(tx, userId);
    if (account?.status !== 'ACTIVE' || !member) return { refusal: 'not-active' };
    return { grant: await this.sessions.renew(tx, session) };
  }

  private refused(reason: Refusal, token: RefreshToken | null, session: Session | null, origin: Origin): Error {
    this.stream.note({
      type: 'AUTH_FAILURE',
      tenantId: session?.tenantId ?? null,
      // Ids in a token that did not lead to a session are nobody's word.
      userId: session?.userId ?? null,
      actor: ANONYMOUS_ACTOR,
      ip: origin.ip,
      details: { reason, method: 'refresh', ...(token ? { sessionId: token.sessionId } : {}) },
    });
    return authError('REFRESH_TOKEN_INVALID', { internal: reason, headers: { 'WWW-Authenticate': 'Bearer realm="portcullis"' } });
  }
}
