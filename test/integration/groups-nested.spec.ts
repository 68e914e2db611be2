import { randomUUID } from 'node:crypto';
import { admin, codeOf, Registry } from '../factories/registry.js';

let registry: Registry;

beforeAll(async () => {
  registry = await Registry.open();
});

afterAll(() => registry.close());

const me = () => admin(registry.tenantA);

async function within(parentId: string | null): Promise<string> {
  return (await registry.groups.create(me(), { slug: `g-${randomUUID()}`, parentId })).id;
}

/** Groups from a root downwards, each in the one before. */
async function chain(length: number): Promise<string[]> {
  const ids: string[] = [];
  for (let i = 0; i < length; i += 1) ids.push(await within(ids.at(-1) ?? null));
  return ids;
}

const parentOf = async (id: string): Promise<string | null> => (await registry.groups.show(me(), id)).parentId;
const move = (id: string, parentId: string | null): Promise<string> => codeOf(registry.groups.update(me(), id, { parentId }));

describe('a group in a group', () => {
  it('shows its parent, is moved and set free, and the log says from where to where', async () => {
    const [site = '', floor = ''] = await chain(2);
    expect((await registry.groups.list(me(), { limit: 200 })).items.find(({ id }) => id === floor)?.parentId).toBe(site);
    const other = await within(null);
    expect((await registry.groups.update(me(), floor, { parentId: other })).parentId).toBe(other);
    // What is left out stays.
    expect((await registry.groups.update(me(), floor, { name: 'Floor' })).parentId).toBe(other);
    expect((await registry.groups.update(me(), floor, { parentId: null })).parentId).toBeNull();
    const rows = await registry.sql<{ details: { from: { parentId: string | null }; to: object } }>(
      `SELECT details FROM security_audit_logs WHERE event_type = 'GROUP_UPDATED' AND details->>'groupId' = $1 ORDER BY occurred_at, id`, [floor]);
    expect(rows.map(({ details: { from, to } }) => [from.parentId, to])).toEqual([[site, { parentId: other }], [other, { name: 'Floor' }], [other, { parentId: null }]]);
  });

  it('lies in no group of another tenant, and in none that is not there', async () => {
    const foreign = await registry.group(registry.tenantB);
    const own = await within(null);
    for (const parentId of [foreign, randomUUID(), own.toUpperCase()]) {
      expect(await codeOf(registry.groups.create(me(), { slug: `g-${randomUUID()}`, parentId }))).toBe('GROUP_NOT_FOUND');
      expect(await move(own, parentId)).toBe('GROUP_NOT_FOUND');
    }
    // The database holds the border as well.
    await expect(registry.sql('UPDATE groups SET parent_id = $2 WHERE id = $1', [own, foreign])).rejects.toThrow(/groups_parent_fkey/);
  });

  it('never lies within itself, and at most eight deep, however it is moved', async () => {
    const ids = await chain(8);
    const [root = '', second = ''] = ids;
    expect(await codeOf(within(ids[7] ?? ''))).toBe('GROUP_TOO_DEEP');
    for (const parentId of ids) expect(await move(root, parentId)).toBe('GROUP_CIRCLE');
    // A short tree does not take a tall one: its whole height counts.
    const [top = '', low = ''] = await chain(2);
    expect(await move(second, low)).toBe('GROUP_TOO_DEEP');
    expect(await move(second, top)).toBe('NO_ERROR');
    expect(await move(top, root)).toBe('GROUP_TOO_DEEP');
    expect(await parentOf(second)).toBe(top);
  });

  it('holds the group in which it lies: that is deleted when it is empty, not before', async () => {
    const [site = '', floor = ''] = await chain(2);
    expect(await codeOf(registry.groups.remove(me(), site))).toBe('GROUP_HAS_CHILDREN');
    expect(await parentOf(floor)).toBe(site);
    await registry.groups.remove(me(), floor);
    expect(await codeOf(registry.groups.remove(me(), site))).toBe('NO_ERROR');
  });

  it('hands its members no topics of the group in which it lies', async () => {
    const [site = '', floor = ''] = await chain(2);
    await registry.rules.add(me(), { kind: 'group', id: site }, { action: 'publish', topic: 't/${tenant.id}/site' });
    const { id } = await registry.device({ groups: [floor] });
    const { facts } = await registry.gate.facts('device', id);
    expect(facts?.groups).toEqual([floor]);
    expect(facts?.topics.publish).not.toContain(`t/${registry.tenantA}/site`);
  });
});

describe('moves at once', () => {
  it('never make a circle together, nor wait for each other for ever', async () => {
    for (let round = 0; round < 8; round += 1) {
      const [a, b, c] = [await within(null), await within(null), await within(null)];
      const codes = await Promise.all([move(a, b), move(b, c), move(c, a), registry.groups.update(me(), b, { name: 'x' }).then(() => 'NO_ERROR')]);
      expect(codes.filter((code) => code === 'GROUP_CIRCLE')).toHaveLength(1);
      expect(codes.filter((code) => code === 'NO_ERROR')).toHaveLength(3);
    }
  });

  it('and deletions leave no group whose parent is gone', async () => {
    for (let round = 0; round < 8; round += 1) {
      const [child, parent] = [await within(null), await within(null)];
      const codes = await Promise.all([move(child, parent), codeOf(registry.groups.remove(me(), parent))]);
      expect(['NO_ERROR,GROUP_HAS_CHILDREN', 'GROUP_NOT_FOUND,NO_ERROR']).toContain(codes.join());
    }
  });

  it('by two tenants do not wait for each other', async () => {
    const a = await within(null);
    const b = await registry.group(registry.tenantB);
    await registry.in(registry.tenantA, async (tx) => {
      await tx.query('SELECT lock_group_tree($1)', [registry.tenantA]);
      const made = await registry.groups.create(admin(registry.tenantB), { slug: `g-${randomUUID()}`, parentId: b });
      expect(made.parentId).toBe(b);
    });
    expect(await parentOf(a)).toBeNull();
  });
});
