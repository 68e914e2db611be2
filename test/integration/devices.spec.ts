import { randomUUID } from 'node:crypto';
import type { DeviceRecord } from '../../src/devices/device.js';
import { HoldingsSource, type CredentialKind, type HoldingQuestion } from '../../src/devices/holdings.js';
import type { Transaction } from '../../src/platform/database/transactions.js';
import { admin, codeOf, Registry } from '../factories/registry.js';

let registry: Registry;

beforeAll(async () => {
  registry = await Registry.open();
});

afterAll(() => registry.close());
beforeEach(() => void registry.narrowing.calls.splice(0));

const reread = (device: DeviceRecord): Promise<DeviceRecord> =>
  registry.in(device.tenantId, (tx) => registry.devices.get(tx, device.id));

/** All pages, with what was seen on each. */
async function walk(tenantId: string, query: Parameters<typeof registry.devices.list>[1], between?: () => Promise<unknown>): Promise<string[]> {
  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await registry.devices.list(admin(tenantId), { ...query, ...(cursor ? { cursor } : {}) });
    seen.push(...page.items.map((device) => device.slug));
    cursor = page.nextCursor ?? undefined;
    if (cursor) await between?.();
  } while (cursor);
  return seen;
}

describe('a device', () => {
  it('is registered with everything that it was given, and can be read back', async () => {
    const group = await registry.group();
    const device = await registry.device({
      slug: 'pump-1', name: 'Pump', status: 'PENDING', groups: [group], metadata: { site: { floor: 1 } }, allowedProofs: ['secret'],
    });
    expect(device).toMatchObject({
      slug: 'pump-1', name: 'Pump', status: 'PENDING', groups: [group], metadata: { site: { floor: 1 } }, allowedProofs: ['secret'],
      statusReason: null, reportedStatus: null, lastSeenAt: null,
    });
    expect(await registry.devices.show(admin(registry.tenantA), device.id)).toEqual(device);
  });

  it('has a slug of its own among the living of its tenant', async () => {
    const first = await registry.device({ slug: 'twin' });
    expect(await codeOf(registry.device({ slug: 'twin' }))).toBe('DEVICE_SLUG_TAKEN');
    await expect(registry.device({ slug: 'twin', tenantId: registry.tenantB })).resolves.toBeDefined();
    await registry.in(registry.tenantA, (tx) => registry.devices.changeStatus(tx, first, 'DECOMMISSIONED', 'broken'));
    await expect(registry.device({ slug: 'twin' })).resolves.toBeDefined();
    const other = await registry.device();
    expect(await codeOf(registry.devices.update(admin(registry.tenantA), other.id, { slug: 'twin' }))).toBe('DEVICE_SLUG_TAKEN');
  });

  it.each([
    ['a slug that is none', { slug: 'A/b' }],
    ['metadata that nest too deep', { metadata: JSON.parse('{"a":'.repeat(12) + '1' + '}'.repeat(12)) as Record<string, unknown> }],
    ['no proof at all', { allowedProofs: [] }],
    ['null for a name', { name: null as unknown as string }],
    ['null for groups', { groups: null as unknown as string[] }],
  ])('is not changed to have %s', async (_, patch) => {
    const device = await registry.device();
    expect(await codeOf(registry.devices.update(admin(registry.tenantA), device.id, patch))).toBe('VALIDATION_FAILED');
    expect(await reread(device)).toEqual(device);
  });

  it('is changed in what is given and nothing else, with a higher version and one audit row', async () => {
    const [kept, dropped, added] = [await registry.group(), await registry.group(), await registry.group()];
    const before = await registry.device({ groups: [kept, dropped], metadata: { a: 1 } });
    const me = admin(registry.tenantA);
    const after = await registry.devices.update(me, before.id, { name: 'New', groups: [kept, added], metadata: { b: [2] } });
    expect(after).toMatchObject({ slug: before.slug, name: 'New', groups: [kept, added].sort(), metadata: { b: [2] }, allowedProofs: null });
    expect(after.version).toBeGreaterThan(before.version);
    const rows = await registry.sql<{ actor_id: string; details: object }>(
      `SELECT actor_id, details FROM security_audit_logs WHERE event_type = 'DEVICE_UPDATED' AND device_id = $1`, [before.id]);
    expect(rows).toEqual([{ actor_id: me.id, details: { fields: ['name', 'metadata', 'groups'], joined: [added], left: [dropped] } }]);
    expect(registry.narrowing.calls).toEqual([
      { subjects: [{ kind: 'device', id: before.id, tenantId: registry.tenantA }], why: 'MEMBER_REMOVED' },
    ]);
  });

  it('keeps its version, its sessions and its silence when a change says nothing new', async () => {
    const before = await registry.device({ metadata: { a: 1, b: 2 }, allowedProofs: ['secret', 'token'] });
    const same = { slug: before.slug, name: before.name, metadata: { b: 2, a: 1 }, groups: [], allowedProofs: ['secret', 'token'] as const };
    expect(await registry.devices.update(admin(registry.tenantA), before.id, { ...same })).toEqual(before);
    expect(await registry.sql('SELECT 1 FROM security_audit_logs WHERE device_id = $1', [before.id])).toEqual([]);
    expect(registry.narrowing.calls).toEqual([]);
  });

  it('has its sessions looked at again when its proofs change, or its slug while rules name it', async () => {
    const device = await registry.device();
    const me = admin(registry.tenantA);
    await registry.devices.update(me, device.id, { slug: `a-${device.slug}` });
    expect(registry.narrowing.calls).toEqual([]);
    await registry.rules.add(me, { kind: 'device', id: device.id }, { action: 'publish', topic: 't/${tenant.id}/${device.slug}' });
    await registry.devices.update(me, device.id, { slug: device.slug });
    await registry.devices.update(me, device.id, { allowedProofs: ['secret'] });
    expect(registry.narrowing.calls.map((call) => call.why)).toEqual(['SLUG_CHANGED', 'PROOFS_CHANGED']);
  });

  it('stays as it is once it is decommissioned', async () => {
    const device = await registry.device();
    await registry.in(registry.tenantA, (tx) => registry.devices.changeStatus(tx, device, 'DECOMMISSIONED', 'scrapped'));
    const me = admin(registry.tenantA);
    const group = await registry.group();
    expect(await codeOf(registry.devices.update(me, device.id, { name: 'x' }))).toBe('DEVICE_DECOMMISSIONED');
    expect(await codeOf(registry.groups.addMembers(me, group, [device.id]))).toBe('DEVICE_DECOMMISSIONED');
    const rule = registry.rules.add(me, { kind: 'device', id: device.id }, { action: 'publish', topic: 't/${tenant.id}/x' });
    expect(await codeOf(rule)).toBe('DEVICE_DECOMMISSIONED');
  });

  it('reports itself without its facts growing a version', async () => {
    const device = await registry.device();
    const seen = new Date('2026-05-01T10:00:00.123Z');
    await registry.in(registry.tenantA, (tx) => registry.devices.recordReport(tx, device.id, seen, { status: 'ONLINE', at: seen }));
    await registry.in(registry.tenantA, (tx) => registry.devices.recordReport(tx, device.id, new Date('2026-04-01T00:00:00Z')));
    expect(await reread(device)).toEqual({ ...device, lastSeenAt: seen, reportedStatus: 'ONLINE' });
  });

  it('keeps the latest line for its tokens', async () => {
    const device = await registry.device();
    const late = new Date('2026-05-01T00:00:00Z');
    const drawn = await registry.in(registry.tenantA, (tx) => registry.devices.setTokensNotBefore(tx, device.id, late));
    expect(drawn.version).toBeGreaterThan(device.version);
    await registry.in(registry.tenantA, (tx) => registry.devices.setTokensNotBefore(tx, device.id, new Date('2026-04-01T00:00:00Z')));
    expect((await reread(device)).tokensNotBefore).toEqual(late);
  });

  it('is unknown by an id of another tenant, and by one that does not exist', async () => {
    const foreign = await registry.device({ tenantId: registry.tenantB });
    for (const id of [foreign.id, randomUUID()]) {
      expect(await codeOf(registry.devices.show(admin(registry.tenantA), id))).toBe('DEVICE_NOT_FOUND');
      expect(await codeOf(registry.devices.update(admin(registry.tenantA), id, { name: 'mine' }))).toBe('DEVICE_NOT_FOUND');
      expect(await codeOf(registry.in(registry.tenantA, (tx) => registry.devices.touch(tx, id)))).toBe('DEVICE_NOT_FOUND');
      expect(await codeOf(registry.in(registry.tenantA, (tx) => registry.devices.lock(tx, id)))).toBe('DEVICE_NOT_FOUND');
    }
    expect(await reread(foreign)).toEqual(foreign);
  });

  it('joins no group of another tenant, and no more than fifty of its own', async () => {
    const foreign = await registry.group(registry.tenantB);
    expect(await codeOf(registry.device({ groups: [foreign] }))).toBe('GROUP_NOT_FOUND');
    const device = await registry.device();
    const me = admin(registry.tenantA);
    for (const group of [foreign, (await registry.group()).toUpperCase()]) {
      expect(await codeOf(registry.devices.update(me, device.id, { groups: [group] }))).toBe('GROUP_NOT_FOUND');
    }
    const groups = await Promise.all(Array.from({ length: 51 }, () => registry.group()));
    expect(await codeOf(registry.devices.update(me, device.id, { groups }))).toBe('GROUP_LIMIT_REACHED');
    await registry.devices.update(me, device.id, { groups: groups.slice(0, 50) });
    expect(await codeOf(registry.groups.addMembers(me, groups[50] ?? '', [device.id]))).toBe('GROUP_LIMIT_REACHED');
    expect((await reread(device)).groups).toHaveLength(50);
  });
});

describe('the list of devices', () => {
  let listed: Registry;

  beforeAll(async () => {
    listed = registry;
    for (let i = 0; i < 25; i += 1) await listed.device({ slug: `page-${String(i).padStart(2, '0')}`, name: i % 2 ? `Odd 50%_${i}` : 'Even' });
  });

  it('is walked once through while devices are added and none is missed or seen twice', async () => {
    let added = 0;
    const seen = await walk(registry.tenantA, { q: 'page-', limit: 4 }, () => registry.device({ slug: `page-x${added++}` }));
    expect(seen.slice(0, 25)).toEqual(Array.from({ length: 25 }, (_, i) => `page-${String(i).padStart(2, '0')}`));
    expect(new Set(seen).size).toBe(seen.length);
  });

  it('keeps the order of devices that were registered in one and the same instant', async () => {
    await registry.in(registry.tenantA, async (tx) => {
      for (let i = 0; i < 9; i += 1) await registry.devices.create(tx, { slug: `instant-${i}`, status: 'ACTIVE' });
    });
    const seen = await walk(registry.tenantA, { q: 'instant-', limit: 2 });
    expect([...seen].sort()).toEqual(Array.from({ length: 9 }, (_, i) => `instant-${i}`));
  });

  it('finds by parts of slug and name and the beginning of the id, in any case, and takes % and _ for letters', async () => {
    const device = await registry.device({ slug: 'needle', name: 'Wärmepumpe A_1' });
    expect(await walk(registry.tenantA, { q: 'NEEDL' })).toEqual(['needle']);
    expect(await walk(registry.tenantA, { q: 'pumpe a_' })).toEqual(['needle']);
    expect(await walk(registry.tenantA, { q: device.id.slice(0, 13) })).toEqual(['needle']);
    expect(await walk(registry.tenantA, { q: device.id.slice(1, 13) })).toEqual([]);
    expect(await walk(registry.tenantA, { q: '50%_' })).toHaveLength(12);
    expect(await walk(registry.tenantA, { q: '5%0' })).toEqual([]);
    expect(await walk(registry.tenantA, { q: '\\' })).toEqual([]);
  });

  it('narrows by status and group, to nothing for a group of another tenant', async () => {
    const group = await registry.group();
    await registry.device({ slug: 'in-1', groups: [group] });
    await registry.device({ slug: 'in-2', groups: [group], status: 'PENDING' });
    expect(await walk(registry.tenantA, { group, limit: 1 })).toEqual(['in-1', 'in-2']);
    expect(await walk(registry.tenantA, { group, status: 'PENDING' })).toEqual(['in-2']);
    expect(await walk(registry.tenantB, { group })).toEqual([]);
    expect(await walk(registry.tenantA, { group: group.toUpperCase() })).toEqual([]);
  });

  it('refuses a cursor that is not one of ours', async () => {
    for (const cursor of ['x', Buffer.from('now|1').toString('base64url')]) {
      expect(await codeOf(registry.devices.list(admin(registry.tenantA), { cursor }).then(() => undefined))).toBe('CURSOR_INVALID');
    }
  });
});

describe('filters that ask for credentials', () => {
  /** Stands for a room above; holds what a test says. */
  class FakeHoldings extends HoldingsSource {
    readonly asked: number[] = [];
    constructor(
      readonly kinds: readonly CredentialKind[],
      private readonly held: ReadonlyMap<string, Date | null>,
    ) {
      super();
    }

    holders(_: Transaction, deviceIds: readonly string[], { expiringBefore }: HoldingQuestion): Promise<string[]> {
      this.asked.push(deviceIds.length);
      return Promise.resolve(deviceIds.filter((id) => {
        const ends = this.held.get(id);
        return ends !== undefined && (expiringBefore === undefined || (ends !== null && ends < expiringBefore));
      }));
    }
  }

  let registryB: Registry;
  let source: FakeHoldings;

  beforeAll(async () => {
    registryB = await Registry.open();
    await registryB.sql(
      `INSERT INTO devices (tenant_id, slug, status, created_at)
       SELECT $1, 'many-' || lpad(i::text, 5, '0'), 'ACTIVE', now() + make_interval(secs => i) FROM generate_series(0, 2499) i`,
      [registryB.tenantA],
    );
    const rows = await registryB.sql<{ id: string; slug: string }>('SELECT id, slug FROM devices');
    const held = new Map<string, Date | null>();
    for (const { id, slug } of rows) {
      if (['many-00007', 'many-00300', 'many-02400'].includes(slug)) held.set(id, slug === 'many-00300' ? null : new Date('2026-01-01'));
    }
    source = new FakeHoldings(['secret', 'token'], held);
    registryB.holdings.register(source);
  });

  afterAll(() => registryB.close());

  async function walkB(query: Parameters<typeof registry.devices.list>[1]): Promise<{ seen: string[]; pages: number }> {
    const seen: string[] = [];
    let cursor: string | undefined;
    let pages = 0;
    do {
      const page = await registryB.devices.list(admin(registryB.tenantA), { ...query, ...(cursor ? { cursor } : {}) });
      expect(page.items.length).toBeLessThanOrEqual(query.limit ?? 50);
      seen.push(...page.items.map((device) => device.slug));
      cursor = page.nextCursor ?? undefined;
      pages += 1;
    } while (cursor && pages < 50);
    return { seen, pages };
  }

  it('find every holder, page by page, with a bounded number of candidates a page', async () => {
    expect((await walkB({ kind: 'secret', limit: 1 })).seen).toEqual(['many-00007', 'many-00300', 'many-02400']);
    source.asked.splice(0);
    const { seen, pages } = await walkB({ kind: 'secret' });
    expect(seen).toEqual(['many-00007', 'many-00300', 'many-02400']);
    // 2500 devices, at most 2000 of them a page: the first page is short and says that there is more.
    expect(pages).toBe(2);
    expect(Math.max(...source.asked)).toBeLessThanOrEqual(200);
  });

  it('ask for the end of a credential, and of nobody for a kind that nobody keeps', async () => {
    expect((await walkB({ expiringBefore: new Date('2026-06-01') })).seen).toEqual(['many-00007', 'many-02400']);
    expect((await walkB({ kind: 'secret', expiringBefore: new Date('2025-06-01') })).seen).toEqual([]);
    expect((await walkB({ kind: 'certificate' })).seen).toEqual([]);
    expect((await walkB({ kind: 'token', q: 'many-00300' })).seen).toEqual(['many-00300']);
  });
});
