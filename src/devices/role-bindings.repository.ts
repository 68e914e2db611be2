import { Injectable } from '@nestjs/common';
import type { ObjectKind } from '../access/decision.js';
import type { BindingRole } from '../access/permission.js';
import { isForeignKeyViolation, isUniqueViolation } from '../platform/database/database-errors.js';
import { Pools } from '../platform/database/pools.js';
import type { Transaction } from '../platform/database/transactions.js';
import type { Keyset } from '../platform/http/paging.js';
import { devicesError } from './devices.errors.js';
import type { Reach, RoleBinding, Viewer } from './role-binding.js';
import { tenantOf } from './tenant-scope.js';

export interface BindingFilter {
  readonly userId?: string;
  readonly groupId?: string;
  readonly deviceId?: string;
}

export type ListedBinding = RoleBinding & { readonly at: string };

interface ReachRow {
  readonly bindingId: string;
  readonly userId: string;
  readonly role: BindingRole;
  readonly objectId: string;
  readonly groupId: string | null;
  readonly path: string[] | null;
}

const COLUMNS = `b.id, b.user_id AS "userId", b.role, b.group_id AS "groupId", b.device_id AS "deviceId", b.created_by AS "createdBy",
  b.created_at AS "createdAt", b.expires_at AS "expiresAt"`;
const AT = `to_char(b.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at`;

/** Groups above: $1 tenant, $3 objects. A device is in many groups, a group in one. */
const SEEDS: Readonly<Record<ObjectKind, string>> = {
  device: 'SELECT m.device_id, m.group_id, ARRAY[m.group_id] FROM group_members m WHERE m.tenant_id = $1 AND m.device_id = ANY($3::uuid[])',
  group: 'SELECT g.id, g.id, ARRAY[g.id] FROM groups g WHERE g.tenant_id = $1 AND g.id = ANY($3::uuid[])',
};
const REACH_COLUMNS = 'b.id AS "bindingId", b.user_id AS "userId", b.role';
const LIVE = `b.tenant_id = $1 AND ($2::uuid IS NULL OR b.user_id = $2) AND (b.expires_at IS NULL OR b.expires_at > $4)`;

function reaching(kind: ObjectKind): { name: string; text: string } {
  const direct = kind === 'group' ? '' : `
    UNION ALL
    SELECT ${REACH_COLUMNS}, b.device_id, NULL, NULL FROM role_bindings b WHERE ${LIVE} AND b.device_id = ANY($3::uuid[])`;
  return {
    name: `role-bindings-of-${kind}`,
    text: `
    WITH RECURSIVE up(object, id, path) AS (
      ${SEEDS[kind]}
      UNION
      SELECT up.object, g.parent_id, up.path || g.parent_id FROM up JOIN groups g ON g.tenant_id = $1 AND g.id = up.id WHERE g.parent_id IS NOT NULL
    )
    SELECT ${REACH_COLUMNS}, up.object AS "objectId", b.group_id AS "groupId", up.path FROM up JOIN role_bindings b ON b.group_id = up.id
      WHERE ${LIVE}
    ${direct}`,
  };
}
const REACHING = { device: reaching('device'), group: reaching('group') };

/** The table `role_bindings`, and how far its rows reach over groups and devices. */
@Injectable()
export class RoleBindingsRepository {
  constructor(private readonly pools: Pools) {}

  /**
   * Live bindings that reach these objects, of one account or of all. As the reader role, which sees every tenant: each part names it.
   * @param ids canonical UUIDs
   */
  async reaching(tenantId: string, userId: string | null, kind: ObjectKind, ids: readonly string[], at: Date): Promise<Reach[]> {
    const { rows } = await this.pools.reader.query<ReachRow>({ ...REACHING[kind], values: [tenantId, userId, ids, at] });
    return rows.map(({ groupId, path, ...row }) => ({
      ...row,
      path: path ?? [],
      boundTo: groupId === null ? { kind: 'device', id: row.objectId } : { kind: 'group', id: groupId },
    }));
  }

  /** @throws BINDING_EXISTS, BINDING_USER_UNKNOWN, GROUP_NOT_FOUND, DEVICE_NOT_FOUND */
  async insert(tx: Transaction, binding: Omit<RoleBinding, 'createdAt'>, now: Date): Promise<void> {
    const { id, userId, role, groupId, deviceId, createdBy, expiresAt } = binding;
    // What has run out makes room for the same anew.
    await tx.query(
      `DELETE FROM role_bindings WHERE tenant_id = $1 AND user_id = $2 AND role = $3 AND coalesce(group_id, device_id) = $4 AND expires_at <= $5`,
      [tenantOf(tx), userId, role, groupId ?? deviceId, now],
    );
    try {
      await tx.query(
        `INSERT INTO role_bindings (tenant_id, id, user_id, role, group_id, device_id, created_by, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
        [tenantOf(tx), id, userId, role, groupId, deviceId, createdBy, expiresAt],
      );
    } catch (error) {
      if (isUniqueViolation(error, 'role_bindings_key')) throw devicesError('BINDING_EXISTS', { cause: error });
      if (isForeignKeyViolation(error, 'role_bindings_member_fkey')) throw devicesError('BINDING_USER_UNKNOWN', { cause: error });
      if (isForeignKeyViolation(error, 'role_bindings_group_fkey')) throw devicesError('GROUP_NOT_FOUND', { cause: error });
      if (isForeignKeyViolation(error, 'role_bindings_device_fkey')) throw devicesError('DEVICE_NOT_FOUND', { cause: error });
      throw error;
    }
  }

  async find(tx: Transaction, id: string): Promise<RoleBinding | null> {
    const [row] = await tx.query<RoleBinding>(`SELECT ${COLUMNS} FROM role_bindings b WHERE b.tenant_id = $1 AND b.id = $2`, [tenantOf(tx), id]);
    return row ?? null;
  }

  /** Oldest first; those that have run out are still there. */
  page(tx: Transaction, filter: BindingFilter, after: Keyset | undefined, limit: number): Promise<ListedBinding[]> {
    return tx.query(
      `SELECT ${COLUMNS}, ${AT} FROM role_bindings b
        WHERE b.tenant_id = $1 AND ($2::uuid IS NULL OR b.user_id = $2) AND ($3::uuid IS NULL OR b.group_id = $3)
          AND ($4::uuid IS NULL OR b.device_id = $4)
          AND ($5::timestamptz IS NULL OR (b.created_at, b.id) > ($5::timestamptz, $6::uuid))
        ORDER BY b.created_at, b.id LIMIT $7`,
      [tenantOf(tx), filter.userId ?? null, filter.groupId ?? null, filter.deviceId ?? null, after?.at ?? null, after?.id ?? null, limit],
    );
  }

  /** @returns what there was. */
  async delete(tx: Transaction, id: string): Promise<RoleBinding | null> {
    const [row] = await tx.query<RoleBinding>(`DELETE FROM role_bindings b WHERE b.tenant_id = $1 AND b.id = $2 RETURNING ${COLUMNS}`, [tenantOf(tx), id]);
    return row ?? null;
  }
}

/**
 * SQL that is true of the devices (alias `d`) or groups (alias `g`) that a viewer's bindings reach. `$1` is the tenant.
 * @param param binds a value and answers its name
 */
export function reachedBy(kind: ObjectKind, { userId, roles, at }: Viewer, param: (value: unknown) => string): string {
  const live = `b.tenant_id = $1 AND b.user_id = ${param(userId)}::uuid AND b.role = ANY(${param(roles)}::text[])
    AND (b.expires_at IS NULL OR b.expires_at > ${param(at)}::timestamptz)`;
  const groups = `WITH RECURSIVE reached(id) AS (
      SELECT b.group_id FROM role_bindings b WHERE ${live} AND b.group_id IS NOT NULL
      UNION
      SELECT sub.id FROM reached JOIN groups sub ON sub.tenant_id = $1 AND sub.parent_id = reached.id
    ) SELECT id FROM reached`;
  if (kind === 'group') return `g.id IN (${groups})`;
  return `(d.id IN (SELECT b.device_id FROM role_bindings b WHERE ${live} AND b.device_id IS NOT NULL)
    OR EXISTS (SELECT 1 FROM group_members m WHERE m.device_id = d.id AND m.group_id IN (${groups})))`;
}
