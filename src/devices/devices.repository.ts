import { Injectable } from '@nestjs/common';
import { isUniqueViolation } from '../platform/database/database-errors.js';
import type { Transaction } from '../platform/database/transactions.js';
import type { Keyset } from '../platform/http/paging.js';
import { DeviceEntity } from './device.entity.js';
import type { DeviceRecord, DeviceStatus, ProofKind } from './device.js';
import { devicesError } from './devices.errors.js';
import { tenantOf } from './tenant-scope.js';
import type { Subject } from './narrowing.js';

/** Filters of a list; all that are given must hold. */
export interface DeviceFilter {
  readonly status?: DeviceStatus;
  readonly group?: string;
  /** Part of slug or name, or the beginning of the id. */
  readonly q?: string;
}

/** Columns that REST may change; what is left out stays. */
export interface DeviceChanges {
  readonly slug?: string;
  readonly name?: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly allowedProofs?: readonly ProofKind[] | null;
}

type NewDeviceRow = DeviceChanges & { readonly id: string; readonly slug: string; readonly name: string; readonly status: DeviceStatus };

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
  reported_status: string | null;
  last_seen_at: Date | null;
  created_at: Date;
  updated_at: Date;
  version: string;
  at: string;
}

/** The sort key with its microseconds, which a JavaScript date would lose. */
const AT = `to_char(d.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
const SELECT = `
  SELECT d.id, d.tenant_id, d.slug, d.name, d.status, d.status_reason, d.status_before_quarantine, d.metadata, d.allowed_proofs,
    d.tokens_not_before, d.reported_status, d.last_seen_at, d.created_at, d.updated_at, ${AT} AS at,
    d.version + (SELECT t.version FROM tenants t WHERE t.id = d.tenant_id) AS version,
    ARRAY(SELECT m.group_id FROM group_members m WHERE m.device_id = d.id ORDER BY m.group_id) AS groups
  FROM devices d`;

/** The only file that knows how devices are kept. Every statement names the tenant and runs in the caller's transaction. */
@Injectable()
export class DevicesRepository {
  async insert(tx: Transaction, device: NewDeviceRow): Promise<void> {
    const { allowedProofs = null, metadata = {}, ...rest } = device;
    await refuseTakenSlug(() =>
      tx.manager.getRepository(DeviceEntity).insert({
        ...rest,
        tenantId: tenantOf(tx),
        metadata,
        allowedProofs: allowedProofs === null ? null : [...allowedProofs],
      }));
  }

  async find(tx: Transaction, id: string): Promise<DeviceRecord | null> {
    const [row] = await tx.query<DeviceRow>(`${SELECT} WHERE d.tenant_id = $1 AND d.id = $2`, [tenantOf(tx), id]);
    return row ? recordOf(row) : null;
  }

  /** Locks the rows, in the order of their ids, until the transaction ends. @returns id and state of those that exist. */
  lock(tx: Transaction, ids: readonly string[]): Promise<{ id: string; status: DeviceStatus }[]> {
    // Not FOR UPDATE: that would collide with foreign keys of others which point here, and let two of them deadlock.
    return tx.query(
      `SELECT id, status FROM devices WHERE tenant_id = $1 AND id = ANY($2::uuid[]) ORDER BY id FOR NO KEY UPDATE`,
      [tenantOf(tx), ids],
    );
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
  async updateReport(tx: Transaction, id: string, seenAt: Date, reportedStatus: string | null): Promise<void> {
    await tx.query(
      `UPDATE devices SET last_seen_at = greatest(last_seen_at, $3::timestamptz), reported_status = coalesce($4, reported_status)
        WHERE tenant_id = $1 AND id = $2`,
      [tenantOf(tx), id, seenAt, reportedStatus],
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

async function refuseTakenSlug(write: () => Promise<unknown>): Promise<void> {
  try {
    await write();
  } catch (error) {
    if (isUniqueViolation(error, 'devices_slug_key')) throw devicesError('DEVICE_SLUG_TAKEN', { cause: error });
    throw error;
  }
}

/** `%`, `_` and the escape itself are letters like any other to who searches. */
export function escapeLike(text: string): string {
  return text.replace(/[\\%_]/g, '\\$&');
}

function recordOf(row: DeviceRow): DeviceRecord {
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
    reportedStatus: row.reported_status,
    lastSeenAt: row.last_seen_at,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    version: Number(row.version),
  };
}
