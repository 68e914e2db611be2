import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { Principal } from '../access/principal.js';
import { actorOf } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { Clock } from '../platform/clock/clock.js';
import { Transactions, type Transaction } from '../platform/database/transactions.js';
import { decodeCursor, DEFAULT_PAGE, pageOf, type Page } from '../platform/http/paging.js';
import { AccessTokens } from './access-tokens.js';
import { authError } from './auth.errors.js';
import { RefreshSecrets } from './refresh-secrets.js';
import { REFRESH_TTL_MS, SESSION_TTL_MS, type Grant, type Origin, type Session, type SessionChoice, type SessionEnd, type Transport } from './session.js';
import { SessionsRepository } from './sessions.repository.js';

const MAX_USER_AGENT = 256;
/** Sessions that are over are of no use; the security log keeps what happened. */
const FORGET_AFTER_MS = 7 * 24 * 3_600_000;

/** Sessions of people: begun at login, renewed by refresh, ended one by one or a tenant's together. */
@Injectable()
export class SessionsService {
  constructor(
    private readonly transactions: Transactions,
    private readonly repository: SessionsRepository,
    private readonly secrets: RefreshSecrets,
    private readonly tokens: AccessTokens,
    private readonly audit: AuditService,
    private readonly clock: Clock,
  ) {}

  /** The scope must hold the account. */
  async start(tx: Transaction, userId: string, tenantId: string | null, transport: Transport, origin: Origin): Promise<Grant> {
    const id = randomUUID();
    const now = this.clock.now();
    const { token, digest } = await this.secrets.make(userId, id);
    const refreshExpiresAt = now + REFRESH_TTL_MS;
    await this.repository.forget(tx, userId, new Date(now - FORGET_AFTER_MS));
    await this.repository.insert(tx, {
      id,
      userId,
      tenantId,
      transport,
      refreshDigest: digest,
      ip: origin.ip,
      userAgent: origin.userAgent?.slice(0, MAX_USER_AGENT) ?? null,
      createdAt: new Date(now),
      refreshExpiresAt: new Date(refreshExpiresAt),
      absoluteExpiresAt: new Date(now + SESSION_TTL_MS),
    });
    return this.grant({ id, userId, tenantId, transport }, token, refreshExpiresAt);
  }

  /** Gives a locked session its next refresh token. */
  async renew(tx: Transaction, session: Session): Promise<Grant> {
    const now = this.clock.now();
    const { token, digest } = await this.secrets.make(session.userId, session.id);
    const refreshExpiresAt = Math.min(now + REFRESH_TTL_MS, session.absoluteExpiresAt.getTime());
    await this.repository.rotate(tx, session.id, digest, new Date(now), new Date(refreshExpiresAt));
    return this.grant(session, token, refreshExpiresAt);
  }

  /** The caller's own living sessions, in whatever tenant. */
  async list({ id: userId }: Principal, query: { limit?: number; cursor?: string }): Promise<Page<Session>> {
    const limit = query.limit ?? DEFAULT_PAGE;
    const after = decodeCursor(query.cursor);
    const now = new Date(this.clock.now());
    const rows = await this.transactions.run({ userId }, (tx) => this.repository.living(tx, userId, now, limit + 1, after));
    return pageOf(rows, limit, (row) => ({ at: row.at, id: row.id }), (row) => row);
  }

  /** Ends one of the caller's own sessions. @throws SESSION_NOT_FOUND */
  async endOwn(caller: Principal, id: string, reason: SessionEnd): Promise<void> {
    const userId = caller.id;
    const session = await this.transactions.run({ userId }, (tx) => this.repository.find(tx, userId, id));
    if (!session) throw authError('SESSION_NOT_FOUND');
    // The trace belongs to the tenant of the session that ends, which need not be the caller's.
    const ended = await this.transactions.run({ userId, tenantId: session.tenantId }, async (tx) => {
      const ids = await this.endAll(tx, userId, { only: id }, reason);
      if (ids.length > 0) {
        const details = { reason, sessionId: id };
        await this.audit.record(tx, { type: 'SESSION_ENDED', tenantId: session.tenantId, userId, actor: actorOf(caller), details });
      }
      return ids;
    });
    if (ended.length === 0) throw authError('SESSION_NOT_FOUND');
  }

  /** Ends sessions in the caller's transaction, without a trace of its own; answers their ids. */
  endAll(
    tx: Transaction,
    userId: string,
    which: SessionChoice,
    reason: SessionEnd,
  ): Promise<string[]> {
    return this.repository.end(tx, userId, which, new Date(this.clock.now()), reason);
  }

  private async grant(
    session: Pick<Session, 'id' | 'userId' | 'tenantId' | 'transport'>,
    refreshToken: string,
    refreshExpiresAt: number,
  ): Promise<Grant> {
    const { id: sessionId, userId, tenantId, transport } = session;
    const { token: accessToken, expiresIn } = await this.tokens.issue({ userId, sessionId, tenantId });
    return { sessionId, transport, accessToken, expiresIn, refreshToken, refreshExpiresAt };
  }
}
