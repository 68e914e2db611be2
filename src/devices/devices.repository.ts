import { Injectable } from '@nestjs/common';
import { isUniqueViolation } from '../platform/database/database-errors.js';
import type { Transaction } from '../platform/database/transactions.js';
import type { Keyset } from '../platform/http/paging.js';
import type { DeviceRecord, DeviceStatus, ProofKind } from './device.js';
import { devicesError } from './devices.errors.js';
import type { Viewer } from './role-binding.js';
import { reachedBy } from './role-bindings.repository.js';
import { tenantOf } from './tenant-scope.js';
import type { Subject } from './narrowing.js';

/** Filters of a list; all that are given must hold. */
export interface DeviceFilter {
  readonly status?: DeviceStatus;
  readonly group?: string;
  /** Part of slug or name, or the beginning of the id. */
  readonly q?: string;
  /** Only those that this person's role bindings reach. */
  readonly viewer?: Viewer;
}

/** Columns that REST may change; what is left out stays. */
export interface DeviceChanges {
  readonly slug?: string;
  readonly name?: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly allowedProofs?: readonly ProofKind[] | null;
  readonly clockless?: boolean;
}

type NewDeviceRow = DeviceChanges & {
  readonly id: string;
  readonly slug: string;
  readonly name: string;
  readonly status: DeviceStatus;
  readonly groups: readonly string[];
};

/** What a device says of itself: a verified `status` message, and the time in it. */
export interface DeviceReport {
  readonly status: string;
  readonly at: Date;
}

/** A device with its place in the order of the list. */
export interface ListedDevice {
  readonly device: DeviceRecord;
  readonly key: Keyset;
}

interface DeviceRow {
  id: string;
  tenant_id: string;
  slug: string;
  name: string;
  status: DeviceStatus;
  status_reason: string | null;
  status_before_quarantine: DeviceStatus | null;
  groups: string[];
  metadata: Record<string, unknown>;
  allowed_proofs: ProofKind[] | null;
  tokens_not_before: Date | null;
  clockless: boolean;
  reported_status: string | null;
  last_seen_at: Date | null;
  created_at: Date;
  updated_at: Date;
  version: string;
  at: string;
}

/** What is known of a device the moment it is made. */
export interface InsertedDevice {
  readonly device: DeviceRecord;
  readonly tenantStatus: 'ACTIVE' | 'FROZEN';
}

const LOCK = {
  name: 'device-lock',
  text: 'SELECT id, status FROM devices WHERE tenant_id = $1 AND id = ANY($2::uuid[]) ORDER BY id FOR NO KEY UPDATE',
};

/** Rows made together get creation times a microsecond apart, so that a list shows them in the order in which they were given. */
const INSERT = `
  INSERT INTO devices AS d (tenant_id, id, slug, name, status, metadata, allowed_proofs, clockless, created_at, updated_at)
  SELECT $1, r.id, r.slug, r.name, r.status, r.metadata, r.allowed_proofs, r.clockless, t.at, t.at
    FROM json_to_recordset($2::json)
      AS r(place int, id uuid, slug text, name text, status text, metadata jsonb, allowed_proofs text[], clockless boolean),
    LATERAL (SELECT now() + r.place * interval '1 microsecond' AS at) t
   ORDER BY r.place
  RETURNING d.id, d.tenant_id, d.slug, d.name, d.status, d.status_reason, d.status_before_quarantine, d.metadata, d.allowed_proofs,
    d.tokens_not_before, d.clockless, d.reported_status, d.last_seen_at, d.created_at, d.updated_at,
    d.version + (SELECT t.version FROM tenants t WHERE t.id = d.tenant_id) AS version,
    (SELECT t.status FROM tenants t WHERE t.id = d.tenant_id) AS tenant_status`;

/** The sort key with its microseconds, which a JavaScript date would lose. */
const AT = `to_char(d.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
const SELECT = `
  SELECT d.id, d.tenant_id, d.slug, d.name, d.status, d.status_reason, d.status_before_quarantine, d.metadata, d.allowed_proofs,
    d.tokens_not_before, d.clockless, d.reported_status, d.last_seen_at, d.created_at, d.updated_at, ${AT} AS at,
    d.version + (SELECT t.version FROM tenants t WHERE t.id = d.tenant_id) AS version,
    ARRAY(SELECT m.group_id FROM group_members m WHERE m.device_id = d.id ORDER BY m.group_id) AS groups
  FROM devices d`;

/** The only file that knows how devices are kept. Every statement names the tenant and runs in the caller's transaction. */
@Injectable()
export class DevicesRepository {
  /** All of them or none, in one statement; `groups` are what the caller puts each into. Answers in the order given. */
  async insert(tx: Transaction, devices: readonly NewDeviceRow[]): Promise<InsertedDevice[]> {
    const rows = await refuseTakenSlug(() => tx.query<Omit<DeviceRow, 'groups' | 'at'> & { tenant_status: 'ACTIVE' | 'FROZEN' }>(
      INSERT,
      [
        tenantOf(tx),
        JSON.stringify(devices.map(({ id, slug, name, status, metadata = {}, allowedProofs = null, clockless = false }, place) =>
          ({ place, id, slug, name, status, metadata, allowed_proofs: allowedProofs, clockless }))),
      ],
    ));
    const byId = new Map(rows.map((row) => [row.id, row]));
    return devices.map(({ id, groups }) => {
      const row = byId.get(id);
      if (row === undefined) throw new Error('Postgres did not answer a row that it inserted');
      return { device: recordOf({ ...row, groups: [...groups] }), tenantStatus: row.tenant_status };
    });
  }

  async find(tx: Transaction, id: string): Promise<DeviceRecord | null> {
    const [row] = await tx.query<DeviceRow>(`${SELECT} WHERE d.tenant_id = $1 AND d.id = $2`, [tenantOf(tx), id]);
    return row ? recordOf(row) : null;
  }

  /** Locks the rows, in the order of their ids, until the transaction ends. @returns id and state of those that exist. */
  lock(tx: Transaction, ids: readonly string[]): Promise<{ id: string; status: DeviceStatus }[]> {
    // Not FOR UPDATE: that would collide with foreign keys of others which point here, and let two of them deadlock.
    return tx.prepared(LOCK, [tenantOf(tx), ids]);
  }

  /** One page in order of registration. */
  async page(tx: Transaction, filter: DeviceFilter, after: Keyset | undefined, limit: number): Promise<ListedDevice[]> {
    const params: unknown[] = [tenantOf(tx), limit];
    const param = (value: unknown): string => `$${params.push(value)}`;
    const where = ['d.tenant_id = $1'];
    if (filter.status !== undefined) where.push(`d.status = ${param(filter.status)}`);
    if (filter.group !== undefined) {
      const group = param(filter.group);
      where.push(`EXISTS (SELECT 1 FROM group_members m WHERE m.device_id = d.id AND m.group_id = ${group})`);
    }
    if (filter.q !== undefined) {
      const text = escapeLike(filter.q);
      const part = param(`%${text}%`);
      where.push(`(d.slug ILIKE ${part} OR d.name ILIKE ${part} OR d.id::text ILIKE ${param(`${text}%`)})`);
    }
    if (filter.viewer !== undefined) where.push(reachedBy('device', filter.viewer, param));
    if (after !== undefined) where.push(`(d.created_at, d.id) > (${param(after.at)}::timestamptz, ${param(after.id)}::uuid)`);
    const rows = await tx.query<DeviceRow>(`${SELECT} WHERE ${where.join(' AND ')} ORDER BY d.created_at, d.id LIMIT $2`, params);
    return rows.map((row) => ({ device: recordOf(row), key: { at: row.at, id: row.id } }));
  }

  /** Writes the changes and raises the version. The row is locked by the caller. */
  async subjects(tx: Transaction): Promise<Subject[]> {
    return tx.query<Subject>(
      `SELECT 'device' AS kind, id, tenant_id AS "tenantId" FROM devices WHERE tenant_id = $1 AND status <> 'DECOMMISSIONED'
       UNION ALL SELECT 'service', id, tenant_id FROM service_accounts WHERE tenant_id = $1 AND status = 'ACTIVE'`,
      [tenantOf(tx)],
    );
  }

  async update(tx: Transaction, id: string, changes: DeviceChanges): Promise<void> {
    const params: unknown[] = [tenantOf(tx), id];
    const sets = ['version = version + 1', 'updated_at = now()'];
    const set = (column: string, value: unknown): void => void sets.push(`${column} = $${params.push(value)}`);
    if (changes.slug !== undefined) set('slug', changes.slug);
    if (changes.name !== undefined) set('name', changes.name);
    if (changes.metadata !== undefined) set('metadata', changes.metadata);
    if (changes.allowedProofs !== undefined) set('allowed_proofs', changes.allowedProofs);
    if (changes.clockless !== undefined) set('clockless', changes.clockless);
    await refuseTakenSlug(() => tx.query(`UPDATE devices SET ${sets.join(', ')} WHERE tenant_id = $1 AND id = $2`, params));
  }

  /** @returns whether the device was still in the state that it is to leave. */
  async updateStatus(tx: Transaction, id: string, from: DeviceStatus, to: DeviceStatus, reason: string | null): Promise<boolean> {
    const rows = await tx.query<{ id: string }>(
      `UPDATE devices SET status = $4, status_reason = $5, version = version + 1, updated_at = now()
        WHERE tenant_id = $1 AND id = $2 AND status = $3 RETURNING id`,
      [tenantOf(tx), id, from, to, reason],
    );
    return rows.length > 0;
  }

  /** Draws the line later, never earlier. */
  async updateTokensNotBefore(tx: Transaction, id: string, date: Date): Promise<void> {
    await tx.query(
      `UPDATE devices SET tokens_not_before = greatest(tokens_not_before, $3::timestamptz), version = version + 1
        WHERE tenant_id = $1 AND id = $2`,
      [tenantOf(tx), id, date],
    );
  }

  /** What the device says about itself; no part of its facts, so the version stays. */
  async updateReport(tx: Transaction, id: string, seenAt: Date, report: DeviceReport | null): Promise<void> {
    await tx.query(
      `UPDATE devices SET last_seen_at = greatest(last_seen_at, $3::timestamptz),
          reported_status = CASE WHEN $5::timestamptz >= coalesce(reported_at, '-infinity') THEN $4 ELSE reported_status END,
          reported_at = greatest(reported_at, $5::timestamptz)
        WHERE tenant_id = $1 AND id = $2`,
      [tenantOf(tx), id, seenAt, report?.status ?? null, report?.at ?? null],
    );
  }

  /** `ids[n]` was last heard of at `times[n]`. */
  async updateSeen(tx: Transaction, ids: readonly string[], times: readonly Date[]): Promise<void> {
    await tx.query(
      `UPDATE devices d SET last_seen_at = greatest(d.last_seen_at, s.at)
         FROM (SELECT * FROM unnest($2::uuid[], $3::timestamptz[]) AS u(id, at) ORDER BY u.id) s
        WHERE d.tenant_id = $1 AND d.id = s.id`,
      [tenantOf(tx), ids, times],
    );
  }

  /** Whether a rule of the device or of one of its groups names its slug. */
  async isSlugInRules(tx: Transaction, id: string): Promise<boolean> {
    const rows = await tx.query<{ used: boolean }>(
      `SELECT EXISTS (SELECT 1 FROM topic_rules r WHERE r.tenant_id = $1 AND position('\${device.slug}' IN r.topic) > 0
         AND (r.device_id = $2 OR r.group_id IN (SELECT m.group_id FROM group_members m WHERE m.device_id = $2))) AS used`,
      [tenantOf(tx), id],
    );
    return rows[0]?.used ?? false;
  }
}

async function refuseTakenSlug<T>(write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (error) {
    if (isUniqueViolation(error, 'devices_slug_key')) throw devicesError('DEVICE_SLUG_TAKEN', { cause: error });
    throw error;
  }
}

/** `%`, `_` and the escape itself are letters like any other to who searches. */
export function escapeLike(text: string): string {
  return text.replace(/[\\%_]/g, '\\$&');
}

function recordOf(row: Omit<DeviceRow, 'at'>): DeviceRecord {
  return {
    id: row.id,
    tenantId: row.tenant_id,
    slug: row.slug,
    name: row.name,
    status: row.status,
    statusReason: row.status_reason,
    statusBeforeQuarantine: row.status_before_quarantine,
    groups: row.groups,
    metadata: row.metadata,
    allowedProofs: row.allowed_proofs,
    tokensNotBefore: row.tokens_not_before,
    clockless: row.clockless,
    reportedStatus: row.reported_status,
    lastSeenAt: row.last_seen_at,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    version: Number(row.version),
  };
}
