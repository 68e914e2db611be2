import { Injectable } from '@nestjs/common';
import { isCheckViolation, isForeignKeyViolation, isUniqueViolation } from '../platform/database/database-errors.js';
import type { Transaction } from '../platform/database/transactions.js';
import type { Keyset } from '../platform/http/paging.js';
import type { DeviceStatus } from './device.js';
import { devicesError } from './devices.errors.js';
import { GroupEntity } from './group.entity.js';
import type { Viewer } from './role-binding.js';
import { reachedBy } from './role-bindings.repository.js';
import { tenantOf } from './tenant-scope.js';

export interface GroupRecord {
  readonly id: string;
  readonly slug: string;
  readonly name: string;
  /** The group in which it lies. */
  readonly parentId: string | null;
  readonly createdAt: Date;
}

export interface MemberRecord {
  readonly id: string;
  readonly slug: string;
  readonly name: string;
  readonly status: DeviceStatus;
  readonly addedAt: Date;
}

type Listed<T> = T & { readonly at: string };

const at = (column: string): string => `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at`;

/** The only file that knows how groups and their members are kept. */
@Injectable()
export class GroupsRepository {
  async insert(tx: Transaction, group: { id: string; slug: string; name: string; parentId: string | null }): Promise<void> {
    await refuseBad(() => tx.manager.getRepository(GroupEntity).insert({ ...group, tenantId: tenantOf(tx) }));
  }

  find(tx: Transaction, id: string): Promise<GroupRecord | null> {
    return tx.manager.getRepository(GroupEntity).findOneBy({ id, tenantId: tenantOf(tx) });
  }

  async update(tx: Transaction, id: string, changes: { slug?: string; name?: string; parentId?: string | null }): Promise<void> {
    await refuseBad(() => tx.manager.getRepository(GroupEntity).update({ id, tenantId: tenantOf(tx) }, changes));
  }

  /** Rules and memberships go with it; groups in it do not, and hold it. @throws GROUP_HAS_CHILDREN */
  async delete(tx: Transaction, id: string): Promise<void> {
    try {
      await tx.manager.getRepository(GroupEntity).delete({ id, tenantId: tenantOf(tx) });
    } catch (error) {
      if (isForeignKeyViolation(error, 'groups_parent_fkey')) throw devicesError('GROUP_HAS_CHILDREN', { cause: error });
      throw error;
    }
  }

  /** Waits for whoever gives a group of the tenant a parent; before any group is locked, since writing the parent locks it too. */
  async lockTree(tx: Transaction): Promise<void> {
    await tx.query('SELECT lock_group_tree($1)', [tenantOf(tx)]);
  }

  /**
   * Holds groups against each other: `join` for whoever adds members, `change` for whoever changes what members get. Neither
   * overlooks the other's uncommitted work. Always before devices are locked, in the order of the ids.
   * @returns ids of those that exist.
   */
  async lock(tx: Transaction, ids: readonly string[], why: 'join' | 'change'): Promise<string[]> {
    const rows = await tx.query<{ id: string }>(
      `SELECT id FROM groups WHERE tenant_id = $1 AND id = ANY($2::uuid[]) ORDER BY id FOR ${why === 'join' ? 'KEY SHARE' : 'UPDATE'}`,
      [tenantOf(tx), ids],
    );
    return rows.map(({ id }) => id);
  }

  /** @param viewer narrows it to groups that this person's role bindings reach. */
  page(tx: Transaction, viewer: Viewer | undefined, after: Keyset | undefined, limit: number): Promise<Listed<GroupRecord>[]> {
    const params: unknown[] = [tenantOf(tx), limit, after?.at ?? null, after?.id ?? null];
    const seen = viewer === undefined ? '' : `AND ${reachedBy('group', viewer, (value) => `$${params.push(value)}`)}`;
    return tx.query(
      `SELECT g.id, g.slug, g.name, g.parent_id AS "parentId", g.created_at AS "createdAt", ${at('g.created_at')} FROM groups g
        WHERE g.tenant_id = $1 AND ($3::timestamptz IS NULL OR (g.created_at, g.id) > ($3::timestamptz, $4::uuid)) ${seen}
        ORDER BY g.created_at, g.id LIMIT $2`,
      params,
    );
  }

  membersPage(tx: Transaction, groupId: string, after: Keyset | undefined, limit: number): Promise<Listed<MemberRecord>[]> {
    return tx.query(
      `SELECT d.id, d.slug, d.name, d.status, m.added_at AS "addedAt", ${at('m.added_at')}
         FROM group_members m JOIN devices d ON d.id = m.device_id
        WHERE m.tenant_id = $1 AND m.group_id = $2
          AND ($4::timestamptz IS NULL OR (m.added_at, m.device_id) > ($4::timestamptz, $5::uuid))
        ORDER BY m.added_at, m.device_id LIMIT $3`,
      [tenantOf(tx), groupId, limit, after?.at ?? null, after?.id ?? null],
    );
  }

  /** Every pairing of the two lists that is not there yet. @returns the devices that joined some group. */
  async addMembers(tx: Transaction, groupIds: readonly string[], deviceIds: readonly string[]): Promise<string[]> {
    const rows = await tx.query<{ device_id: string }>(
      `INSERT INTO group_members (tenant_id, group_id, device_id)
       SELECT $1, g, d FROM unnest($2::uuid[]) g CROSS JOIN unnest($3::uuid[]) d ON CONFLICT DO NOTHING RETURNING device_id`,
      [tenantOf(tx), groupIds, deviceIds],
    );
    return [...new Set(rows.map((row) => row.device_id))];
  }

  /** Puts devices that were made just now into their groups, each into its own. */
  async enrol(tx: Transaction, memberships: readonly { readonly groupId: string; readonly deviceId: string }[]): Promise<void> {
    await tx.query(
      `INSERT INTO group_members (tenant_id, group_id, device_id)
       SELECT $1, m.g, m.d FROM unnest($2::uuid[], $3::uuid[]) AS m(g, d)`,
      [tenantOf(tx), memberships.map(({ groupId }) => groupId), memberships.map(({ deviceId }) => deviceId)],
    );
  }

  /** @returns the devices that left some group. */
  async removeMembers(tx: Transaction, groupIds: readonly string[], deviceIds: readonly string[]): Promise<string[]> {
    const rows = await tx.query<{ device_id: string }>(
      `DELETE FROM group_members WHERE tenant_id = $1 AND group_id = ANY($2::uuid[]) AND device_id = ANY($3::uuid[])
       RETURNING device_id`,
      [tenantOf(tx), groupIds, deviceIds],
    );
    return [...new Set(rows.map((row) => row.device_id))];
  }

  /** Of these devices, those in more than `limit` groups. */
  async overloaded(tx: Transaction, deviceIds: readonly string[], limit: number): Promise<string[]> {
    const rows = await tx.query<{ device_id: string }>(
      `SELECT device_id FROM group_members WHERE tenant_id = $1 AND device_id = ANY($2::uuid[])
        GROUP BY device_id HAVING count(*) > $3 ORDER BY device_id`,
      [tenantOf(tx), deviceIds, limit],
    );
    return rows.map((row) => row.device_id);
  }
}

/** What the database holds against a row, in the words of the API. The trigger `groups_tree` names its refusals as constraints. */
async function refuseBad(write: () => Promise<unknown>): Promise<void> {
  try {
    await write();
  } catch (error) {
    if (isUniqueViolation(error, 'groups_slug_key')) throw devicesError('GROUP_SLUG_TAKEN', { cause: error });
    if (isCheckViolation(error, 'groups_circle')) throw devicesError('GROUP_CIRCLE', { cause: error });
    if (isCheckViolation(error, 'groups_depth')) throw devicesError('GROUP_TOO_DEEP', { cause: error });
    throw error;
  }
}
