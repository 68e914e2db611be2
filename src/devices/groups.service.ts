import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { Permission } from '../access/permission.js';
import type { TenantPrincipal } from '../access/principal.js';
import { actorOf } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { Transactions, type Transaction } from '../platform/database/transactions.js';
import { DEFAULT_PAGE, decodeCursor, pageOf, type Page } from '../platform/http/paging.js';
import { MAX_GROUPS_PER_DEVICE } from './device.js';
import { devicesError } from './devices.errors.js';
import { DevicesRepository } from './devices.repository.js';
import { FactsChanges } from './facts-changes.js';
import { ObjectRights } from './object-rights.service.js';
import { GroupsRepository, type GroupRecord, type MemberRecord } from './groups.repository.js';

/** `parentId`: the group in which it is to lie; `null` for none. */
export interface NewGroup {
  readonly slug: string;
  readonly name?: string;
  readonly parentId?: string | null;
}

export interface PageRequest {
  readonly limit?: number;
  readonly cursor?: string;
}

/** Groups of devices: they share topic rules, and each has a channel of its own. */
@Injectable()
export class GroupsService {
  constructor(
    private readonly transactions: Transactions,
    private readonly groups: GroupsRepository,
    private readonly devices: DevicesRepository,
    private readonly changes: FactsChanges,
    private readonly rights: ObjectRights,
    private readonly audit: AuditService,
  ) {}

  async list(me: TenantPrincipal, { limit = DEFAULT_PAGE, cursor }: PageRequest): Promise<Page<GroupRecord>> {
    const after = decodeCursor(cursor);
    const viewer = this.rights.viewer(me, Permission.GroupsRead);
    return this.in(me, async (tx) => pageOf(await this.groups.page(tx, viewer, after, limit + 1), limit, keyOf, (group) => group));
  }

  show(me: TenantPrincipal, id: string): Promise<GroupRecord> {
    return this.in(me, (tx) => this.get(tx, id));
  }

  /** @throws GROUP_SLUG_TAKEN, GROUP_NOT_FOUND (the parent), GROUP_TOO_DEEP */
  create(me: TenantPrincipal, { slug, name = '', parentId = null }: NewGroup): Promise<GroupRecord> {
    return this.in(me, async (tx) => {
      const id = randomUUID();
      if (parentId !== null) await this.holdParent(tx, parentId);
      await this.groups.insert(tx, { id, slug, name, parentId });
      await this.record(tx, me, 'GROUP_CREATED', { groupId: id, slug, ...(parentId === null ? {} : { parentId }) });
      return this.get(tx, id);
    });
  }

  /**
   * Slug, name and parent are for people: no facts change.
   * @throws GROUP_NOT_FOUND (the parent too), GROUP_CHANGE_DENIED, GROUP_SLUG_TAKEN, GROUP_CIRCLE, GROUP_TOO_DEEP
   */
  update(me: TenantPrincipal, id: string, { slug, name, parentId }: Partial<NewGroup>): Promise<GroupRecord> {
    return this.in(me, async (tx) => {
      if (typeof parentId === 'string') await this.groups.lockTree(tx);
      await this.hold(tx, id, 'change');
      const before = await this.get(tx, id);
      const changes = {
        ...(typeof slug === 'string' && slug !== before.slug ? { slug } : {}),
        ...(typeof name === 'string' && name !== before.name ? { name } : {}),
        ...(parentId !== undefined && parentId !== before.parentId ? { parentId } : {}),
      };
      if (Object.keys(changes).length === 0) return before;
      if (changes.parentId !== undefined && !me.permissions.has(Permission.GroupsUpdate)) {
        throw devicesError('GROUP_CHANGE_DENIED', { detail: 'Where a group lies says who has it: that takes a role in the tenant.' });
      }
      if (typeof changes.parentId === 'string') await this.holdParent(tx, changes.parentId);
      await this.groups.update(tx, id, changes);
      await this.record(tx, me, 'GROUP_UPDATED', { groupId: id, from: { slug: before.slug, name: before.name, parentId: before.parentId }, to: changes });
      return this.get(tx, id);
    });
  }

  /** Its members lose its rules and its channel. @throws GROUP_NOT_FOUND, GROUP_HAS_CHILDREN */
  remove(me: TenantPrincipal, id: string): Promise<void> {
    return this.in(me, async (tx) => {
      await this.hold(tx, id, 'change');
      const { slug } = await this.get(tx, id);
      const members = await this.changes.touchMembers(tx, id);
      await this.groups.delete(tx, id);
      this.changes.narrowed(tx, 'device', members.map((member) => member.id), 'GROUP_DELETED');
      await this.record(tx, me, 'GROUP_DELETED', { groupId: id, slug, members: members.length });
    });
  }

  /** @throws GROUP_NOT_FOUND */
  async members(me: TenantPrincipal, id: string, { limit = DEFAULT_PAGE, cursor }: PageRequest): Promise<Page<MemberRecord>> {
    const after = decodeCursor(cursor);
    return this.in(me, async (tx) => {
      await this.get(tx, id);
      return pageOf(await this.groups.membersPage(tx, id, after, limit + 1), limit, keyOf, (member) => member);
    });
  }

  /**
   * All of them or none; who is a member already stays one.
   * @returns how many joined.
   * @throws GROUP_NOT_FOUND, DEVICE_NOT_FOUND, GROUP_CHANGE_DENIED, DEVICE_DECOMMISSIONED, GROUP_LIMIT_REACHED
   */
  async addMembers(me: TenantPrincipal, id: string, deviceIds: readonly string[]): Promise<number> {
    const own = await this.changeable(me, deviceIds);
    return this.in(me, async (tx) => {
      await this.hold(tx, id, 'join');
      const found = await this.devices.lock(tx, deviceIds);
      const missing = deviceIds.filter((deviceId) => !own.seen(deviceId) || !found.some((device) => device.id === deviceId));
      if (missing.length > 0) {
        const errors = missing.map((deviceId) => ({ path: 'deviceIds', message: `there is no device ${deviceId}` }));
        throw devicesError('DEVICE_NOT_FOUND', { errors });
      }
      if (own.refused) throw devicesError('GROUP_CHANGE_DENIED', { detail: 'The role on the group is not enough for a device that you may not change.' });
      if (found.some((device) => device.status === 'DECOMMISSIONED')) throw devicesError('DEVICE_DECOMMISSIONED');
      const joined = await this.groups.addMembers(tx, [id], deviceIds);
      if ((await this.groups.overloaded(tx, joined, MAX_GROUPS_PER_DEVICE)).length > 0) throw devicesError('GROUP_LIMIT_REACHED');
      await this.changes.touch(tx, 'device', joined);
      for (const deviceId of joined) await this.record(tx, me, 'GROUP_MEMBER_ADDED', { groupId: id }, deviceId);
      return joined.length;
    });
  }

  /** Who is no member is passed over. @returns how many left. @throws GROUP_NOT_FOUND */
  removeMembers(me: TenantPrincipal, id: string, deviceIds: readonly string[]): Promise<number> {
    return this.in(me, async (tx) => {
      await this.hold(tx, id, 'join');
      await this.devices.lock(tx, deviceIds);
      const left = await this.groups.removeMembers(tx, [id], deviceIds);
      await this.changes.touch(tx, 'device', left);
      this.changes.narrowed(tx, 'device', left, 'MEMBER_REMOVED');
      for (const deviceId of left) await this.record(tx, me, 'GROUP_MEMBER_REMOVED', { groupId: id }, deviceId);
      return left.length;
    });
  }

  /**
   * Who joins a group is open to whoever has the group: somebody with a role on the group alone pulls in what is theirs to change,
   * and learns of nothing else.
   */
  private async changeable(me: TenantPrincipal, deviceIds: readonly string[]): Promise<{ refused: boolean; seen: (id: string) => boolean }> {
    if (me.permissions.has(Permission.GroupsUpdate)) return { refused: false, seen: () => true };
    const verdicts = await this.rights.verdicts(me, Permission.DevicesUpdate, 'device', deviceIds);
    const hidden = (id: string): boolean => {
      const verdict = verdicts.get(id);
      return verdict === undefined || (!verdict.allowed && verdict.why === 'hidden');
    };
    return { refused: [...verdicts.values()].some(({ allowed }) => !allowed), seen: (id) => !hidden(id) };
  }

  private in<T>(me: TenantPrincipal, work: (tx: Transaction) => Promise<T>): Promise<T> {
    return this.transactions.run({ tenantId: me.tenantId }, work);
  }

  private async get(tx: Transaction, id: string): Promise<GroupRecord> {
    const group = await this.groups.find(tx, id);
    if (group === null) throw devicesError('GROUP_NOT_FOUND');
    return group;
  }

  private async hold(tx: Transaction, id: string, why: 'join' | 'change'): Promise<void> {
    const found = await this.groups.lock(tx, [id], why);
    if (found.length === 0) throw devicesError('GROUP_NOT_FOUND');
  }

  /** The parent cannot be deleted until the transaction ends, and nobody else moves a group of the tenant. */
  private async holdParent(tx: Transaction, parentId: string): Promise<void> {
    await this.groups.lockTree(tx);
    const [found] = await this.groups.lock(tx, [parentId], 'join');
    if (found !== parentId) {
      throw devicesError('GROUP_NOT_FOUND', { errors: [{ path: 'parentId', message: `there is no group ${parentId}` }] });
    }
  }

  private record(
    tx: Transaction,
    me: TenantPrincipal,
    type: 'GROUP_CREATED' | 'GROUP_UPDATED' | 'GROUP_DELETED' | 'GROUP_MEMBER_ADDED' | 'GROUP_MEMBER_REMOVED',
    details: Record<string, unknown>,
    deviceId: string | null = null,
  ): Promise<void> {
    return this.audit.record(tx, { type, tenantId: me.tenantId, deviceId, actor: actorOf(me), details });
  }
}

function keyOf(row: { readonly at: string; readonly id: string }): { at: string; id: string } {
  return { at: row.at, id: row.id };
}
