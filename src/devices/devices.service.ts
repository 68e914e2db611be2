import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { Injectable } from '@nestjs/common';
import { Permission } from '../access/permission.js';
import type { TenantPrincipal } from '../access/principal.js';
import { actorOf } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { Transactions, type Transaction } from '../platform/database/transactions.js';
import { DEFAULT_PAGE, decodeCursor, encodeCursor, pageOf, type Page } from '../platform/http/paging.js';
import { isCanonicalUuid } from '../platform/http/uuid-param.js';
import type { FieldError } from '../platform/problem/app-error.js';
import { platformError } from '../platform/problem/platform.errors.js';
import { MAX_GROUPS_PER_DEVICE, nextStates, SLUG_HINT, SLUG_PATTERN, type DeviceRecord, type DeviceStatus } from './device.js';
import { devicesError } from './devices.errors.js';
import { DevicesGate } from './devices.gate.js';
import { DevicesRepository, type DeviceChanges, type DeviceFilter, type InsertedDevice, type ListedDevice } from './devices.repository.js';
import type { Facts } from './facts.js';
import { FactsChanges } from './facts-changes.js';
import { GroupsRepository } from './groups.repository.js';
import { ObjectRights } from './object-rights.service.js';
import { CredentialHoldings, type HoldingQuestion } from './holdings.js';
import { metadataProblem } from './metadata.js';
import type { Subject } from './narrowing.js';

/** A device to register. `groups` are ids. */
export interface NewDevice extends DeviceChanges {
  readonly slug: string;
  readonly status: 'PENDING' | 'ACTIVE';
  readonly groups?: readonly string[];
}

/** A device that the transaction has made, with what the gate will know of it. */
export interface CreatedDevice {
  readonly device: DeviceRecord;
  readonly facts: Facts;
}

/** What to change; what is left out stays, `groups` and `metadata` are replaced whole. */
export interface DevicePatch extends DeviceChanges {
  readonly groups?: readonly string[];
}

export interface DeviceQuery extends Omit<DeviceFilter, 'viewer'>, HoldingQuestion {
  readonly limit?: number;
  readonly cursor?: string;
}

/** Candidates asked about at a time, and how often, before a page with a credential filter is answered short. */
const SCAN = 200;
const MAX_SCANS = 10;

/**
 * The registry of devices. Methods that take a transaction are parts of somebody's larger change, who also audits it; those
 * that take a principal are a request of their own. Every change raises the version of the facts and, after the commit, reaches
 * the gate.
 */
@Injectable()
export class DevicesService {
  constructor(
    private readonly transactions: Transactions,
    private readonly devices: DevicesRepository,
    private readonly groups: GroupsRepository,
    private readonly changes: FactsChanges,
    private readonly gate: DevicesGate,
    private readonly holdings: CredentialHoldings,
    private readonly rights: ObjectRights,
    private readonly audit: AuditService,
  ) {}

  /** @throws DEVICE_SLUG_TAKEN, GROUP_NOT_FOUND, GROUP_LIMIT_REACHED, VALIDATION_FAILED */
  async create(tx: Transaction, device: NewDevice): Promise<DeviceRecord> {
    const [created] = await this.createAll(tx, [device]);
    if (created === undefined) throw new Error('one device was to be created');
    return created.device;
  }

  /** As `create` for many, in as few statements as for one: all of them are created, or it throws what the first bad one deserves. */
  async createAll(tx: Transaction, devices: readonly NewDevice[]): Promise<CreatedDevice[]> {
    for (const device of devices) refuseBad(device);
    const wanted = devices.map(({ groups = [] }) => groupsOf(groups));
    await this.holdGroups(tx, ordered(wanted.flat()));
    const rows = devices.map(({ name = '', ...rest }, index) => ({ ...rest, id: randomUUID(), name, groups: wanted[index] ?? [] }));
    const inserted = await this.devices.insert(tx, rows);
    const memberships = rows.flatMap(({ id, groups }) => groups.map((groupId) => ({ groupId, deviceId: id })));
    if (memberships.length > 0) await this.groups.enrol(tx, memberships);
    const facts = await this.factsOfNew(tx, inserted);
    // Somebody may have been told just now that there is no such device.
    this.changes.created(tx, inserted.map(({ device }) => device));
    return inserted.map(({ device }, index) => ({ device, facts: facts[index] as Facts }));
  }

  find(tx: Transaction, id: string): Promise<DeviceRecord | null> {
    return this.devices.find(tx, id);
  }

  /** @throws DEVICE_NOT_FOUND */
  async get(tx: Transaction, id: string): Promise<DeviceRecord> {
    const device = await this.devices.find(tx, id);
    if (device === null) throw devicesError('DEVICE_NOT_FOUND');
    return device;
  }

  /** As `get`, and nobody else changes the device until the transaction ends. Lock several in the order of their ids. */
  async lock(tx: Transaction, id: string): Promise<DeviceRecord> {
    await this.devices.lock(tx, [id]);
    // Read after the wait: only a new statement sees what was committed meanwhile.
    return this.get(tx, id);
  }

  /** As `lock` for several, where the state is all that matters. @returns states by id, of those that exist */
  async lockStates(tx: Transaction, ids: readonly string[]): Promise<ReadonlyMap<string, DeviceStatus>> {
    return new Map((await this.devices.lock(tx, ids)).map(({ id, status }) => [id, status]));
  }

  /**
   * Along the state table, out of quarantine only back to where it was entered from. The device should have been locked.
   * @throws DEVICE_DECOMMISSIONED, DEVICE_STATE_CONFLICT, CONFLICT when another change came first
   */
  async changeStatus(tx: Transaction, device: DeviceRecord, to: DeviceStatus, reason: string | null): Promise<DeviceRecord> {
    if (!nextStates(device).includes(to)) {
      if (device.status === 'DECOMMISSIONED') throw devicesError('DEVICE_DECOMMISSIONED');
      throw devicesError('DEVICE_STATE_CONFLICT', { detail: `The device is ${device.status} and cannot become ${to}.` });
    }
    const done = await this.devices.updateStatus(tx, device.id, device.status, to, reason);
    if (!done) throw platformError('CONFLICT');
    return this.noted(tx, device.id);
  }

  /** Takes a locked device out of all its groups; answers which. */
  async leaveGroups(tx: Transaction, id: string): Promise<readonly string[]> {
    const { groups } = await this.get(tx, id);
    if (groups.length === 0) return [];
    await this.groups.removeMembers(tx, groups, [id]);
    await this.noted(tx, id);
    this.changes.narrowed(tx, 'device', [id], 'MEMBER_REMOVED');
    return groups;
  }

  /** Every device and service account of the transaction's tenant that has not ended. */
  subjects(tx: Transaction): Promise<Subject[]> {
    return this.devices.subjects(tx);
  }

  /** As `touch` for several. */
  async touchAll(tx: Transaction, ids: readonly string[]): Promise<void> {
    const subjects = await this.changes.touch(tx, 'device', ids);
    if (subjects.length !== new Set(ids).size) throw devicesError('DEVICE_NOT_FOUND');
  }

  /** For changes of other rooms that the gate must see at once, such as a rotated secret. @returns the new version of the facts. */
  async touch(tx: Transaction, id: string): Promise<number> {
    const [subject] = await this.changes.touch(tx, 'device', [id]);
    if (!subject) throw devicesError('DEVICE_NOT_FOUND');
    return subject.version;
  }

  /** From now on tokens with an `iat` before this are refused. The line is never drawn back. */
  async setTokensNotBefore(tx: Transaction, id: string, date: Date): Promise<DeviceRecord> {
    await this.devices.updateTokensNotBefore(tx, id, date);
    return this.noted(tx, id);
  }

  /** When the device was last heard of and, from a verified `status` message, how it says it is. No part of the facts. */
  recordReport(tx: Transaction, id: string, seenAt: Date, report: { readonly status: string; readonly at: Date } | null = null): Promise<void> {
    return this.devices.updateReport(tx, id, seenAt, report);
  }

  /** When devices were last heard of, many at a time. No part of the facts. */
  recordSeen(tx: Transaction, seen: ReadonlyMap<string, Date>): Promise<void> {
    return this.devices.updateSeen(tx, [...seen.keys()], [...seen.values()]);
  }

  /** What the gate would see if the transaction committed now: the topics of a device that is being registered, for one. */
  factsInside(tx: Transaction, kind: 'device' | 'service', id: string): Promise<Facts | null> {
    return this.gate.inside(tx, kind, id);
  }

  show(me: TenantPrincipal, id: string): Promise<DeviceRecord> {
    return this.transactions.run({ tenantId: me.tenantId }, (tx) => this.get(tx, id));
  }

  /**
   * One page in order of registration. With a filter on credentials a page may hold fewer items than asked for, even none, and
   * still have a `nextCursor`: the search goes on there.
   * @throws CURSOR_INVALID
   */
  async list(me: TenantPrincipal, query: DeviceQuery): Promise<Page<DeviceRecord>> {
    const { limit = DEFAULT_PAGE, cursor, kind, expiringBefore, ...rest } = query;
    const viewer = this.rights.viewer(me, Permission.DevicesRead);
    const filter = viewer === undefined ? rest : { ...rest, viewer };
    const after = decodeCursor(cursor);
    if (filter.group !== undefined && !isCanonicalUuid(filter.group)) return { items: [], nextCursor: null };
    return this.transactions.run({ tenantId: me.tenantId }, async (tx) => {
      if (kind !== undefined || expiringBefore !== undefined) return this.scan(tx, filter, { kind, expiringBefore }, after, limit);
      return pageOf(await this.devices.page(tx, filter, after, limit + 1), limit, keyOf, deviceOf);
    });
  }

  /** @throws DEVICE_NOT_FOUND, DEVICE_DECOMMISSIONED, DEVICE_SLUG_TAKEN, GROUP_NOT_FOUND, GROUP_LIMIT_REACHED, VALIDATION_FAILED */
  async update(me: TenantPrincipal, id: string, patch: DevicePatch): Promise<DeviceRecord> {
    refuseBad(patch);
    return this.transactions.run({ tenantId: me.tenantId }, async (tx) => {
      const groups = patch.groups === undefined ? undefined : groupsOf(patch.groups);
      if (groups !== undefined) await this.holdGroups(tx, groups);
      const before = await this.lock(tx, id);
      if (before.status === 'DECOMMISSIONED') throw devicesError('DEVICE_DECOMMISSIONED');
      const changes = differences(before, patch);
      const joined = groups?.filter((group) => !before.groups.includes(group)) ?? [];
      const left = groups === undefined ? [] : before.groups.filter((group) => !groups.includes(group));
      await this.refuseForeign(me, joined, left);
      if (Object.keys(changes).length + joined.length + left.length === 0) return before;
      const slugRules = changes.slug !== undefined && (await this.devices.isSlugInRules(tx, id));
      await this.devices.update(tx, id, changes);
      if (joined.length > 0) await this.groups.addMembers(tx, joined, [id]);
      if (left.length > 0) await this.groups.removeMembers(tx, left, [id]);
      const after = await this.noted(tx, id);
      if (slugRules) this.changes.narrowed(tx, 'device', [id], 'SLUG_CHANGED');
      if (changes.allowedProofs !== undefined) this.changes.narrowed(tx, 'device', [id], 'PROOFS_CHANGED');
      if (left.length > 0) this.changes.narrowed(tx, 'device', [id], 'MEMBER_REMOVED');
      await this.audit.record(tx, {
        type: 'DEVICE_UPDATED',
        tenantId: me.tenantId,
        deviceId: id,
        actor: actorOf(me),
        details: traceOf(before, after, changes, joined, left),
      });
      return after;
    });
  }

  /** Candidates batch by batch, each put before the rooms that keep credentials. */
  private async scan(
    tx: Transaction,
    filter: DeviceFilter,
    question: HoldingQuestion,
    from: ReturnType<typeof decodeCursor>,
    limit: number,
  ): Promise<Page<DeviceRecord>> {
    const kept: ListedDevice[] = [];
    let after = from;
    for (let scans = 0; scans < MAX_SCANS; scans += 1) {
      const candidates = await this.devices.page(tx, filter, after, SCAN);
      const holders = await this.holdings.among(tx, candidates.map(({ device }) => device.id), question);
      kept.push(...candidates.filter(({ device }) => holders.has(device.id)));
      if (kept.length > limit || candidates.length < SCAN) return pageOf(kept, limit, keyOf, deviceOf);
      after = candidates.at(-1)?.key;
    }
    return { items: kept.map(deviceOf), nextCursor: after === undefined ? null : encodeCursor(after) };
  }

  /** Rules of a device that was made just now can only come from its groups: without any, nothing has to be read. */
  private async factsOfNew(tx: Transaction, inserted: readonly InsertedDevice[]): Promise<Facts[]> {
    const members = inserted.filter(({ device }) => device.groups.length > 0).map(({ device }) => device.id);
    const read = members.length === 0 ? [] : await this.gate.devicesInside(tx, members);
    const byId = new Map(read.map((facts) => [facts.id, facts]));
    return inserted.map(({ device, tenantStatus }) => byId.get(device.id) ?? this.gate.compile({
      kind: 'device',
      id: device.id,
      tenantId: device.tenantId,
      tenantStatus,
      status: device.status,
      slug: device.slug,
      version: device.version,
      groups: [],
      allowedProofs: device.allowedProofs,
      tokensNotBefore: null,
      clockless: device.clockless,
      rules: [],
    }));
  }

  /**
   * To put a device into a group hands it to the people and the topics of the group, to take it out takes it away from them: somebody
   * with a role on the device alone does so only with groups that are theirs to change.
   */
  private async refuseForeign(me: TenantPrincipal, joined: readonly string[], left: readonly string[]): Promise<void> {
    if (me.permissions.has(Permission.DevicesUpdate) || joined.length + left.length === 0) return;
    const verdicts = await this.rights.verdicts(me, Permission.GroupsUpdate, 'group', [...joined, ...left]);
    const hidden = joined.filter((id) => {
      const verdict = verdicts.get(id);
      return verdict === undefined || (!verdict.allowed && verdict.why === 'hidden');
    });
    if (hidden.length > 0) throw unknownGroups(hidden);
    if ([...verdicts.values()].some(({ allowed }) => !allowed)) throw devicesError('GROUP_CHANGE_DENIED');
  }

  /** Locks groups that devices are to be in. Before any device is locked. */
  private async holdGroups(tx: Transaction, wanted: readonly string[]): Promise<void> {
    if (wanted.length === 0) return;
    const found = new Set(await this.groups.lock(tx, wanted, 'join'));
    const missing = wanted.filter((id) => !found.has(id));
    if (missing.length > 0) throw unknownGroups(missing);
  }

  /** The device as it now is, its new version told to the gate after the commit. */
  private async noted(tx: Transaction, id: string): Promise<DeviceRecord> {
    const device = await this.get(tx, id);
    this.changes.changed(tx, 'device', [device]);
    return device;
  }
}

function unknownGroups(ids: readonly string[]): Error {
  return devicesError('GROUP_NOT_FOUND', { errors: ids.map((id) => ({ path: 'groups', message: `there is no group ${id}` })) });
}

/** Each once and in order. */
function ordered(ids: readonly string[]): string[] {
  return [...new Set(ids)].sort();
}

function groupsOf(ids: readonly string[]): string[] {
  const groups = ordered(ids);
  if (groups.length > MAX_GROUPS_PER_DEVICE) throw devicesError('GROUP_LIMIT_REACHED');
  return groups;
}

function keyOf(listed: ListedDevice): ListedDevice['key'] {
  return listed.key;
}

function deviceOf(listed: ListedDevice): DeviceRecord {
  return listed.device;
}

/** Values that no schema can judge, and `null` where only "left out" is meant. */
function refuseBad(device: DevicePatch): void {
  const errors: FieldError[] = [];
  for (const path of ['slug', 'name', 'metadata', 'groups', 'clockless'] as const) {
    if (device[path] === null) errors.push({ path, message: `${path} must not be null` });
  }
  if (typeof device.slug === 'string' && !SLUG_PATTERN.test(device.slug)) {
    errors.push({ path: 'slug', message: `slug must be ${SLUG_HINT}` });
  }
  const problem = device.metadata ? metadataProblem(device.metadata) : null;
  if (problem !== null) errors.push({ path: 'metadata', message: problem });
  if (device.allowedProofs?.length === 0) {
    const message = 'allowedProofs must name at least one proof; null lets all of its credentials count';
    errors.push({ path: 'allowedProofs', message });
  }
  if (errors.length > 0) throw platformError('VALIDATION_FAILED', { errors });
}

/** Those members of the patch that say something new. */
function differences(before: DeviceRecord, patch: DevicePatch): DeviceChanges {
  const { slug, name, metadata, allowedProofs, clockless } = patch;
  return Object.fromEntries(
    Object.entries({ slug, name, metadata, allowedProofs, clockless }).filter(
      ([field, value]) => value !== undefined && !isDeepStrictEqual(value, before[field as keyof DeviceChanges]),
    ),
  );
}

function traceOf(
  before: DeviceRecord,
  after: DeviceRecord,
  changes: DeviceChanges,
  joined: readonly string[],
  left: readonly string[],
): Record<string, unknown> {
  const fields = [...Object.keys(changes), ...(joined.length + left.length > 0 ? ['groups'] : [])];
  return {
    fields,
    ...(changes.slug === undefined ? {} : { slug: { from: before.slug, to: after.slug } }),
    ...(changes.allowedProofs === undefined ? {} : { allowedProofs: { from: before.allowedProofs, to: after.allowedProofs } }),
    ...(changes.clockless === undefined ? {} : { clockless: after.clockless }),
    ...(joined.length > 0 ? { joined } : {}),
    ...(left.length > 0 ? { left } : {}),
  };
}
