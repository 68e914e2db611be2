import { Injectable } from '@nestjs/common';
import type { Transaction } from '../platform/database/transactions.js';
import type { Keyset } from '../platform/http/paging.js';
import type { Session, SessionChoice, SessionEnd } from './session.js';

const COLUMNS = `id, user_id AS "userId", tenant_id AS "tenantId", transport, ip, user_agent AS "userAgent",
  created_at AS "createdAt", last_used_at AS "lastUsedAt", refresh_expires_at AS "refreshExpiresAt",
  absolute_expires_at AS "absoluteExpiresAt", ended_at AS "endedAt"`;

export interface LockedSession extends Session {
  readonly refreshDigest: Buffer;
}

/** A session as the list shows it. */
export interface ListedSession extends Session {
  /** `createdAt` with its microseconds, for the cursor. */
  readonly at: string;
}

export type NewSession = Omit<LockedSession, 'endedAt' | 'lastUsedAt'>;

/** The table `sessions`: visible to the transaction's account and to its tenant. */
@Injectable()
export class SessionsRepository {
  async insert(tx: Transaction, session: NewSession): Promise<void> {
    await tx.query(
      `INSERT INTO sessions (id, user_id, tenant_id, transport, refresh_digest, ip, user_agent, created_at, last_used_at,
         refresh_expires_at, absolute_expires_at)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, $10)`,
      [
        session.id, session.userId, session.tenantId, session.transport, session.refreshDigest, session.ip, session.userAgent,
        session.createdAt, session.refreshExpiresAt, session.absoluteExpiresAt,
      ],
    );
  }

  /** Without a lock. */
  async find(tx: Transaction, userId: string, id: string): Promise<Session | null> {
    const rows = await tx.query<Session>(`SELECT ${COLUMNS} FROM sessions WHERE id = $1 AND user_id = $2`, [id, userId]);
    return rows[0] ?? null;
  }

  async lock(tx: Transaction, userId: string, id: string): Promise<LockedSession | null> {
    const rows = await tx.query<LockedSession>(
      `SELECT ${COLUMNS}, refresh_digest AS "refreshDigest" FROM sessions WHERE id = $1 AND user_id = $2 FOR UPDATE`,
      [id, userId],
    );
    return rows[0] ?? null;
  }

  async rotate(tx: Transaction, id: string, refreshDigest: Buffer, now: Date, refreshExpiresAt: Date): Promise<void> {
    await tx.query('UPDATE sessions SET refresh_digest = $2, last_used_at = $3, refresh_expires_at = $4 WHERE id = $1', [
      id, refreshDigest, now, refreshExpiresAt,
    ]);
  }

  /** Living sessions of the account, newest last. */
  async living(tx: Transaction, userId: string, now: Date, limit: number, after: Keyset | undefined): Promise<ListedSession[]> {
    return tx.query<ListedSession>(
      `SELECT ${COLUMNS}, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at FROM sessions
       WHERE user_id = $1 AND ended_at IS NULL AND refresh_expires_at > $2 AND absolute_expires_at > $2
         AND ($3::timestamptz IS NULL OR (created_at, id) > ($3::timestamptz, $4::uuid))
       ORDER BY created_at, id LIMIT $5`,
      [userId, now, after?.at ?? null, after?.id ?? null, limit],
    );
  }

  /**
   * Ends living sessions of the account; answers their ids.
   * @param which one session, all of one tenant, all but one, or all
   */
  async end(
    tx: Transaction,
    userId: string,
    which: SessionChoice,
    now: Date,
    reason: SessionEnd,
  ): Promise<string[]> {
    const [condition, value] = conditionOf(which);
    const rows = await tx.query<{ id: string }>(
      `UPDATE sessions SET ended_at = $2, end_reason = $3
       WHERE user_id = $1 AND ended_at IS NULL AND refresh_expires_at > $2 AND ${condition} RETURNING id`,
      [userId, now, reason, value],
    );
    return rows.map((row) => row.id);
  }

  /** Forgets the account's sessions that ended or ran out before this time. */
  async forget(tx: Transaction, userId: string, before: Date): Promise<void> {
    await tx.query('DELETE FROM sessions WHERE user_id = $1 AND (ended_at < $2 OR refresh_expires_at < $2)', [userId, before]);
  }
}

function conditionOf(which: SessionChoice): [string, string | null] {
  if (which === 'all') return ['$4::text IS NULL', null];
  if ('only' in which) return ['id = $4', which.only];
  return 'tenantId' in which ? ['tenant_id = $4', which.tenantId] : ['id <> $4', which.except];
}
