import { Injectable } from '@nestjs/common';
import type { Transaction } from '../platform/database/transactions.js';
import type { Keyset } from '../platform/http/paging.js';
import type { CredentialOwner, IssuedKind } from './credential.js';

export interface CredentialRow {
  readonly id: string;
  readonly kind: IssuedKind;
  readonly parent_id: string | null;
  readonly created_at: Date;
  readonly not_before: Date;
  readonly expires_at: Date | null;
  readonly superseded_at: Date | null;
  readonly revoked_at: Date | null;
  readonly last_used_at: Date | null;
  /** `created_at` with its microseconds, for cursors. */
  readonly at: string;
}

export interface NewCredential {
  readonly id: string;
  readonly kind: IssuedKind;
  readonly createdAt: Date;
  readonly expiresAt: Date | null;
  readonly parentId?: string | null;
  /** Of a secret alone. */
  readonly digest?: { readonly bytes: Buffer; readonly keyId: string };
}

export type NewDeviceCredential = Omit<NewCredential, 'parentId'> & { readonly deviceId: string };

/** Expired tokens are forgotten after a day, so many at a time. */
const PURGE_AFTER_MS = 86_400_000;
const PURGE_BATCH = 100;

const VIEW = `id, kind, parent_id, created_at, not_before, expires_at, superseded_at, revoked_at, last_used_at,
  to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at`;
const LIVE_SECRET = `kind = 'secret' AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $3)`;

/** The table `credentials`. Statements name owner and tenant beside row security. */
@Injectable()
export class CredentialsRepository {
  async insert(tx: Transaction, owner: CredentialOwner, credential: NewCredential): Promise<void> {
    const { id, kind, createdAt, expiresAt, parentId = null, digest } = credential;
    await tx.query(
      `INSERT INTO credentials
         (tenant_id, ${column(owner)}, id, kind, created_at, not_before, expires_at, parent_id, digest, data_key_id)
       VALUES ($1, $2, $3, $4, $5, $5, $6, $7, $8, $9)`,
      [
        owner.tenantId, owner.id, id, kind, createdAt, expiresAt, parentId, digest?.bytes ?? null, digest?.keyId ?? null,
      ],
    );
  }

  /** Secrets and tokens of devices that the same transaction has made, in one statement. */
  async insertForDevices(tx: Transaction, tenantId: string, credentials: readonly NewDeviceCredential[]): Promise<void> {
    const rows = credentials.map(({ id, deviceId, kind, createdAt, expiresAt, digest }) => ({
      id,
      device_id: deviceId,
      kind,
      created_at: createdAt,
      expires_at: expiresAt,
      digest: digest?.bytes.toString('hex') ?? null,
      data_key_id: digest?.keyId ?? null,
    }));
    await tx.query(
      `INSERT INTO credentials (tenant_id, device_id, id, kind, created_at, not_before, expires_at, digest, data_key_id)
       SELECT $1, r.device_id, r.id, r.kind, r.created_at, r.created_at, r.expires_at, decode(r.digest, 'hex'), r.data_key_id
         FROM json_to_recordset($2::json) AS r(device_id uuid, id uuid, kind text, created_at timestamptz, expires_at timestamptz,
              digest text, data_key_id uuid)`,
      [tenantId, JSON.stringify(rows)],
    );
  }

  /** In the order of their creation; `after` and `limit` cut a page. */
  list(
    tx: Transaction,
    owner: CredentialOwner,
    page?: { readonly after?: Keyset; readonly limit: number },
  ): Promise<CredentialRow[]> {
    const params: unknown[] = [owner.tenantId, owner.id];
    let sql = `SELECT ${VIEW} FROM credentials WHERE ${ownedBy(owner)}`;
    if (page?.after) {
      params.push(page.after.at, page.after.id);
      sql += ' AND (created_at, id) > ($3::timestamptz, $4::uuid)';
    }
    sql += ' ORDER BY created_at, id';
    if (page) {
      params.push(page.limit);
      sql += ` LIMIT $${params.length}`;
    }
    return tx.query<CredentialRow>(sql, params);
  }

  async exists(tx: Transaction, owner: CredentialOwner, id: string): Promise<boolean> {
    const sql = `SELECT FROM credentials WHERE ${ownedBy(owner)} AND id = $3`;
    const rows = await tx.query(sql, [owner.tenantId, owner.id, id]);
    return rows.length > 0;
  }

  async countLiveSecrets(tx: Transaction, owner: CredentialOwner, now: Date): Promise<number> {
    const rows = await tx.query<{ count: number }>(
      `SELECT count(*)::int AS count FROM credentials WHERE ${ownedBy(owner)} AND ${LIVE_SECRET}`,
      [owner.tenantId, owner.id, now],
    );
    return rows[0]?.count ?? 0;
  }

  /** Every live secret ends at `until`, unless it ends earlier anyway. Answers when the last of them does. */
  async supersedeSecrets(tx: Transaction, owner: CredentialOwner, now: Date, until: Date): Promise<Date | null> {
    const rows = await tx.query<{ expires_at: Date }>(
      `UPDATE credentials
          SET superseded_at = coalesce(superseded_at, $3), expires_at = least(coalesce(expires_at, $4), $4)
        WHERE ${ownedBy(owner)} AND ${LIVE_SECRET} RETURNING expires_at`,
      [owner.tenantId, owner.id, now, until],
    );
    return rows.reduce<Date | null>((last, { expires_at: at }) => (last === null || at > last ? at : last), null);
  }

  /** Revokes a credential and all that came from it. Answers those that were not revoked before. */
  async revoke(tx: Transaction, owner: CredentialOwner, id: string, now: Date, reason: string): Promise<string[]> {
    const rows = await tx.query<{ id: string }>(
      `WITH RECURSIVE family AS (
         SELECT id FROM credentials WHERE ${ownedBy(owner)} AND id = $3
         UNION SELECT c.id FROM credentials c JOIN family f ON c.parent_id = f.id)
       UPDATE credentials SET revoked_at = $4, revoke_reason = $5
        WHERE tenant_id = $1 AND id IN (SELECT id FROM family) AND revoked_at IS NULL RETURNING id`,
      [owner.tenantId, owner.id, id, now, reason],
    );
    return rows.map((row) => row.id);
  }

  async revokeAll(tx: Transaction, owner: CredentialOwner, now: Date, reason: string): Promise<string[]> {
    const rows = await tx.query<{ id: string }>(
      `UPDATE credentials SET revoked_at = $3, revoke_reason = $4
        WHERE ${ownedBy(owner)} AND revoked_at IS NULL RETURNING id`,
      [owner.tenantId, owner.id, now, reason],
    );
    return rows.map((row) => row.id);
  }

  /** Forgets the owner's long expired tokens; what another request is at is left to it. */
  async purgeTokens(tx: Transaction, owner: CredentialOwner, now: Date): Promise<void> {
    await tx.query(
      `DELETE FROM credentials WHERE id IN (
         SELECT id FROM credentials WHERE ${ownedBy(owner)} AND kind = 'token' AND expires_at < $3
          ORDER BY created_at LIMIT ${PURGE_BATCH} FOR UPDATE SKIP LOCKED)`,
      [owner.tenantId, owner.id, new Date(now.getTime() - PURGE_AFTER_MS)],
    );
  }

  /** Which of these devices hold a live credential of the kind, or of any, that ends before the given time. */
  async holders(
    tx: Transaction,
    tenantId: string,
    deviceIds: readonly string[],
    now: Date,
    kind: IssuedKind | null,
    expiringBefore: Date | null,
  ): Promise<string[]> {
    const rows = await tx.query<{ device_id: string }>(
      `SELECT DISTINCT device_id FROM credentials
        WHERE tenant_id = $1 AND device_id = ANY($2::uuid[])
          AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $3)
          AND ($4::text IS NULL OR kind = $4) AND ($5::timestamptz IS NULL OR expires_at < $5)`,
      [tenantId, deviceIds, now, kind, expiringBefore],
    );
    return rows.map((row) => row.device_id);
  }
}

function column({ kind }: CredentialOwner): string {
  return kind === 'device' ? 'device_id' : 'service_account_id';
}

function ownedBy(owner: CredentialOwner): string {
  return `tenant_id = $1 AND ${column(owner)} = $2`;
}
