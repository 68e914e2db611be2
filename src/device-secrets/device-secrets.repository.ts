import { Injectable } from '@nestjs/common';
import type { Transaction } from '../platform/database/transactions.js';
import type { Keyset } from '../platform/http/paging.js';

export interface SecretOwner {
  readonly id: string;
  readonly tenantId: string;
}

export interface NewDeviceSecret {
  readonly owner: SecretOwner;
  readonly id: string;
  readonly sealed: Buffer;
}

export interface DeviceSecretRow {
  readonly id: string;
  readonly created_at: Date;
  readonly expires_at: Date | null;
  readonly superseded_at: Date | null;
  readonly revoked_at: Date | null;
  /** `created_at` with its microseconds, for cursors. */
  readonly at: string;
}

const OWNED = 'tenant_id = $1 AND device_id = $2';
const LIVE = 'revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $3)';

/** The table `device_secrets`. Statements name device and tenant beside row security. */
@Injectable()
export class DeviceSecretsRepository {
  async insertAll(tx: Transaction, secrets: readonly NewDeviceSecret[], now: Date): Promise<void> {
    if (secrets.length === 0) return;
    await tx.query(
      `INSERT INTO device_secrets (tenant_id, device_id, id, sealed, created_at)
       SELECT s.tenant_id, s.device_id, s.id, s.sealed, $5 FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bytea[]) AS s(tenant_id, device_id, id, sealed)`,
      [
        secrets.map(({ owner }) => owner.tenantId),
        secrets.map(({ owner }) => owner.id),
        secrets.map(({ id }) => id),
        secrets.map(({ sealed }) => sealed),
        now,
      ],
    );
  }

  async countLive(tx: Transaction, owner: SecretOwner, now: Date): Promise<number> {
    const rows = await tx.query<{ count: number }>(`SELECT count(*)::int AS count FROM device_secrets WHERE ${OWNED} AND ${LIVE}`,
      [owner.tenantId, owner.id, now]);
    return rows[0]?.count ?? 0;
  }

  /** Every live secret ends at `until`, unless it ends earlier anyway. Answers when the last of them does. */
  async supersede(tx: Transaction, owner: SecretOwner, now: Date, until: Date): Promise<Date | null> {
    const rows = await tx.query<{ expires_at: Date }>(
      `UPDATE device_secrets SET superseded_at = coalesce(superseded_at, $3), expires_at = least(coalesce(expires_at, $4), $4)
        WHERE ${OWNED} AND ${LIVE} RETURNING expires_at`,
      [owner.tenantId, owner.id, now, until],
    );
    return rows.reduce<Date | null>((last, { expires_at: at }) => (last === null || at > last ? at : last), null);
  }

  async exists(tx: Transaction, owner: SecretOwner, id: string): Promise<boolean> {
    return (await tx.query(`SELECT FROM device_secrets WHERE ${OWNED} AND id = $3`, [owner.tenantId, owner.id, id])).length > 0;
  }

  /** Revokes one secret, or all when `id` is null. Answers those that were not revoked before. */
  async revoke(tx: Transaction, owner: SecretOwner, id: string | null, now: Date, reason: string): Promise<string[]> {
    const rows = await tx.query<{ id: string }>(
      `UPDATE device_secrets SET revoked_at = $3, revoke_reason = $4
        WHERE ${OWNED} AND ($5::uuid IS NULL OR id = $5) AND revoked_at IS NULL RETURNING id`,
      [owner.tenantId, owner.id, now, reason, id],
    );
    return rows.map((row) => row.id);
  }

  list(tx: Transaction, owner: SecretOwner, after: Keyset | undefined, limit: number): Promise<DeviceSecretRow[]> {
    return tx.query<DeviceSecretRow>(
      `SELECT id, created_at, expires_at, superseded_at, revoked_at,
          to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at
         FROM device_secrets
        WHERE ${OWNED} AND ($3::timestamptz IS NULL OR (created_at, id) > ($3::timestamptz, $4::uuid))
        ORDER BY created_at, id LIMIT $5`,
      [owner.tenantId, owner.id, after?.at ?? null, after?.id ?? null, limit],
    );
  }

  async holders(tx: Transaction, tenantId: string, deviceIds: readonly string[], now: Date, expiringBefore: Date | null): Promise<string[]> {
    const rows = await tx.query<{ device_id: string }>(
      `SELECT DISTINCT device_id FROM device_secrets WHERE tenant_id = $1 AND device_id = ANY($2::uuid[]) AND ${LIVE}
          AND ($4::timestamptz IS NULL OR expires_at < $4)`,
      [tenantId, deviceIds, now, expiringBefore],
    );
    return rows.map((row) => row.device_id);
  }

  async markProven(tx: Transaction, owner: SecretOwner, id: string, now: Date): Promise<void> {
    await tx.query(`UPDATE device_secrets SET proven_at = $4 WHERE ${OWNED} AND id = $3 AND proven_at IS NULL`,
      [owner.tenantId, owner.id, id, now]);
  }
}
