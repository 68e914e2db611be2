import { randomUUID } from 'node:crypto';
import { admin, codeOf, Registry } from '../factories/registry.js';

let registry: Registry;

beforeAll(async () => {
  registry = await Registry.open();
});

afterAll(() => registry.close());
beforeEach(() => void registry.narrowing.calls.splice(0));

const me = () => admin(registry.tenantA);
const stranger = () => admin(registry.tenantB);
const versionOf = (id: string): Promise<number> =>
  registry.in(registry.tenantA, async (tx) => (await registry.devices.get(tx, id)).version);
const audited = (type: string): Promise<{ device_id: string | null; details: Record<string, unknown> }[]> =>
  registry.sql('SELECT device_id, details FROM security_audit_logs WHERE event_type = $1 ORDER BY occurred_at, id', [type]);

describe('a group', () => {
  it('is created, renamed, listed and deleted, each with its audit row', async () => {
    const group = await registry.groups.create(me(), { slug: 'floor-1', name: 'Floor' });
    expect(group).toMatchObject({ slug: 'floor-1', name: 'Floor' });
    expect(await codeOf(registry.groups.create(me(), { slug: 'floor-1' }))).toBe('GROUP_SLUG_TAKEN');
    await expect(registry.groups.create(stranger(), { slug: 'floor-1' })).resolves.toBeDefined();
    const renamed = await registry.groups.update(me(), group.id, { slug: 'floor-2' });
    expect(renamed).toEqual({ ...group, slug: 'floor-2' });
    expect((await registry.groups.list(me(), {})).items.map(({ slug }) => slug)).toContain('floor-2');
    await registry.groups.remove(me(), group.id);
    expect(await codeOf(registry.groups.show(me(), group.id))).toBe('GROUP_NOT_FOUND');
    for (const type of ['GROUP_CREATED', 'GROUP_UPDATED', 'GROUP_DELETED']) {
      expect((await audited(type)).filter((row) => row.details['groupId'] === group.id)).toHaveLength(1);
    }
  });

  it('of another tenant is not there, for any verb', async () => {
    const id = await registry.group();
    const device = await registry.device({ tenantId: registry.tenantB });
    for (const work of [
      () => registry.groups.show(stranger(), id),
      () => registry.groups.update(stranger(), id, { name: 'x' }),
      () => registry.groups.remove(stranger(), id),
      () => registry.groups.members(stranger(), id, {}),
      () => registry.groups.addMembers(stranger(), id, [device.id]),
      () => registry.groups.removeMembers(stranger(), id, [device.id]),
      () => registry.rules.list(stranger(), { kind: 'group', id }, {}),
      () => registry.rules.add(stranger(), { kind: 'group', id }, { action: 'publish', topic: 't/${tenant.id}/x' }),
    ]) {
      expect(await codeOf(work())).toBe('GROUP_NOT_FOUND');
    }
  });

  it('takes all the devices named or none, and each that joined has a row of its own', async () => {
    const group = await registry.group();
    const [one, two] = [await registry.device(), await registry.device()];
    const foreign = await registry.device({ tenantId: registry.tenantB });
    for (const bad of [foreign.id, randomUUID(), two.id.toUpperCase()]) {
      expect(await codeOf(registry.groups.addMembers(me(), group, [one.id, bad]))).toBe('DEVICE_NOT_FOUND');
    }
    expect((await registry.groups.members(me(), group, {})).items).toEqual([]);
    expect(await registry.groups.addMembers(me(), group, [one.id])).toBe(1);
    expect(await registry.groups.addMembers(me(), group, [one.id, two.id])).toBe(1);
    const { items } = await registry.groups.members(me(), group, {});
    expect(items.map(({ id }) => id)).toEqual([one.id, two.id]);
    const rows = (await audited('GROUP_MEMBER_ADDED')).filter((row) => row.details['groupId'] === group);
    expect(rows.map((row) => row.device_id)).toEqual([one.id, two.id]);
  });

  it('raises the version of those that join or leave, of nobody else, and narrows those that leave', async () => {
    const group = await registry.group();
    const [joins, other] = [await registry.device(), await registry.device()];
    await registry.groups.addMembers(me(), group, [joins.id]);
    expect(await versionOf(joins.id)).toBe(joins.version + 1);
    expect(registry.narrowing.calls).toEqual([]);
    expect(await registry.groups.removeMembers(me(), group, [joins.id, other.id, randomUUID()])).toBe(1);
    expect(await versionOf(joins.id)).toBe(joins.version + 2);
    expect(await versionOf(other.id)).toBe(other.version);
    expect(registry.narrowing.calls).toEqual([
      { subjects: [{ kind: 'device', id: joins.id, tenantId: registry.tenantA }], why: 'MEMBER_REMOVED' },
    ]);
  });

  it('walks its members once through while others join', async () => {
    const group = await registry.group();
    const ids = await Promise.all(Array.from({ length: 7 }, async () => (await registry.device()).id));
    await registry.groups.addMembers(me(), group, ids);
    const seen: string[] = [];
    let cursor: string | null | undefined;
    do {
      const page = await registry.groups.members(me(), group, { limit: 3, ...(cursor ? { cursor } : {}) });
      seen.push(...page.items.map(({ id }) => id));
      cursor = page.nextCursor;
      if (seen.length < 9) await registry.groups.addMembers(me(), group, [(await registry.device()).id]);
    } while (cursor);
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen.filter((id) => ids.includes(id))).toHaveLength(7);
  });

  it('takes its rules and memberships with it, and narrows every member', async () => {
    const group = await registry.group();
    const members = await Promise.all(Array.from({ length: 3 }, () => registry.device({ groups: [group] })));
    await registry.rules.add(me(), { kind: 'group', id: group }, { action: 'publish', topic: 't/${tenant.id}/x' });
    const before = await Promise.all(members.map(({ id }) => versionOf(id)));
    registry.narrowing.calls.splice(0);
    await registry.groups.remove(me(), group);
    expect(await Promise.all(members.map(({ id }) => versionOf(id)))).toEqual(before.map((version) => version + 1));
    expect(registry.narrowing.calls).toEqual([{ subjects: expect.anything() as unknown, why: 'GROUP_DELETED' }]);
    expect(new Set(registry.narrowing.calls[0]?.subjects.map(({ id }) => id))).toEqual(new Set(members.map(({ id }) => id)));
    expect(await registry.sql('SELECT 1 FROM topic_rules WHERE group_id = $1', [group])).toEqual([]);
    for (const { id } of members) expect((await registry.gate.facts('device', id)).facts?.groups).toEqual([]);
  });

  it('that cannot be changed leaves no trace: audit, version and change share one transaction', async () => {
    const group = await registry.group();
    const device = await registry.device({ groups: [group] });
    const failing = { ...me(), tenantId: registry.tenantA, id: 'x', kind: 'user' as const };
    // An audit row that the database refuses takes the change with it.
    const audit = jest.spyOn(registry.auditing, 'record').mockRejectedValueOnce(new Error('no audit'));
    await expect(registry.groups.remove(failing, group)).rejects.toThrow('no audit');
    audit.mockRestore();
    expect(await versionOf(device.id)).toBe(device.version);
    expect((await registry.groups.show(me(), group)).id).toBe(group);
    expect(registry.narrowing.calls).toEqual([]);
  });
});
