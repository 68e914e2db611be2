import { admin, codeOf, Registry } from '../factories/registry.js';

let registry: Registry;

beforeAll(async () => {
  registry = await Registry.open();
});

afterAll(() => registry.close());

const versionOf = (id: string): Promise<number> =>
  registry.in(registry.tenantA, async (tx) => (await registry.devices.get(tx, id)).version);

/** Transactions that write these audit rows stop there, with everything done but the commit, until they are told to go on. */
function pauseBeforeCommit<const T extends string>(...types: T[]): Record<T, { reached: Promise<void>; resume: () => void }> {
  const record = registry.auditing.record.bind(registry.auditing);
  const pauses = new Map<string, { reached: Promise<void>; arrive: () => void; resumed: Promise<void>; resume: () => void }>();
  for (const type of types) {
    const reached = promise();
    const resumed = promise();
    pauses.set(type, { reached: reached.settled, arrive: reached.settle, resumed: resumed.settled, resume: resumed.settle });
  }
  jest.spyOn(registry.auditing, 'record').mockImplementation(async (tx, event) => {
    await record(tx, event);
    const pause = pauses.get(event.type);
    pause?.arrive();
    await pause?.resumed;
  });
  return Object.fromEntries(pauses) as unknown as Record<T, { reached: Promise<void>; resume: () => void }>;
}

function promise(): { settled: Promise<void>; settle: () => void } {
  let settle: () => void = () => undefined;
  const settled = new Promise<void>((resolve) => (settle = resolve));
  return { settled, settle };
}

/** Resolves once some transaction of this database waits for another's lock. */
async function somebodyWaits(): Promise<void> {
  for (let i = 0; i < 500; i += 1) {
    const waiting = await registry.sql(
      'SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()');
    if (waiting.length > 0) return;
  }
  throw new Error('nobody waits for a lock');
}

afterEach(() => jest.restoreAllMocks());

describe('changes at once', () => {
  it('each give the device a version of its own: fifty changes, fifty versions', async () => {
    const device = await registry.device();
    const versions = await Promise.all(Array.from({ length: 50 }, (_, i) =>
      i % 2
        ? registry.in(registry.tenantA, (tx) => registry.devices.touch(tx, device.id))
        : registry.devices.update(admin(registry.tenantA), device.id, { name: `n${i}` }).then((after) => after.version)));
    expect([...versions].sort((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, i) => device.version + 1 + i));
    expect(await versionOf(device.id)).toBe(device.version + 50);
  });

  it('let one of two take a slug', async () => {
    const results = await Promise.all(Array.from({ length: 8 }, () => codeOf(registry.device({ slug: 'one-winner' }))));
    expect(results.filter((code) => code === 'NO_ERROR')).toHaveLength(1);
    expect(results.filter((code) => code === 'DEVICE_SLUG_TAKEN')).toHaveLength(7);
  });

  it('never overlook each other: a rule is taken from a group while a device joins it', async () => {
    const me = admin(registry.tenantA);
    const owner = { kind: 'group', id: await registry.group() } as const;
    const { id } = await registry.device();
    const rule = await registry.rules.add(me, owner, { action: 'publish', topic: 't/${tenant.id}/secret' });
    const pauses = pauseBeforeCommit('GROUP_MEMBER_ADDED', 'RULE_DELETED');

    const joining = registry.groups.addMembers(me, owner.id, [id]);
    await pauses.GROUP_MEMBER_ADDED.reached;
    const removing = registry.rules.remove(me, owner, rule.id);
    // It waits for the member to be seen, or else overlooks it and goes on.
    await Promise.race([pauses.RULE_DELETED.reached, somebodyWaits()]);
    pauses.GROUP_MEMBER_ADDED.resume();
    await joining;
    await registry.gate.facts('device', id);
    pauses.RULE_DELETED.resume();
    await removing;

    const { facts } = await registry.gate.facts('device', id);
    expect(facts?.groups).toEqual([owner.id]);
    expect(facts?.topics.publish).not.toContain(`t/${registry.tenantA}/secret`);
  });

  it('do not deadlock where two groups share their members', async () => {
    const me = admin(registry.tenantA);
    const groups = [await registry.group(), await registry.group()];
    await registry.sql(
      `WITH d AS (INSERT INTO devices (tenant_id, slug, status)
         SELECT $1, 'shared-' || i, 'ACTIVE' FROM generate_series(1, 150) i RETURNING id)
       INSERT INTO group_members (tenant_id, group_id, device_id)
         SELECT $1, g, id FROM d CROSS JOIN unnest($2::uuid[]) g ORDER BY random()`,
      [registry.tenantA, groups],
    );
    for (let round = 0; round < 8; round += 1) {
      const rule = { action: 'publish', topic: `t/\${tenant.id}/${round}` };
      await Promise.all(groups.map((id) => registry.rules.add(me, { kind: 'group', id }, rule)));
    }
  });

  it('neither deadlock nor leave the gate with anything but the truth, however groups, members, rules and devices are mixed', async () => {
    const me = admin(registry.tenantA);
    const groups = await Promise.all(Array.from({ length: 4 }, () => registry.group()));
    const devices = await Promise.all(Array.from({ length: 6 }, async () => (await registry.device()).id));
    const some = <T>(all: readonly T[]): T[] => [...all].sort(() => Math.random() - 0.5).slice(0, 3);
    const work = [
      () => registry.groups.addMembers(me, some(groups)[0] ?? '', some(devices)),
      () => registry.groups.removeMembers(me, some(groups)[0] ?? '', some(devices)),
      () => registry.devices.update(me, some(devices)[0] ?? '', { groups: some(groups) }),
      () => registry.rules.add(me, { kind: 'group', id: some(groups)[0] ?? '' }, { action: 'publish', topic: `t/\${tenant.id}/${Math.random()}` }),
      async () => {
        const owner = { kind: 'group', id: some(groups)[0] ?? '' } as const;
        const { items: [rule] } = await registry.rules.list(me, owner, {});
        if (rule) expect(['NO_ERROR', 'RULE_NOT_FOUND']).toContain(await codeOf(registry.rules.remove(me, owner, rule.id)));
      },
      () => registry.in(registry.tenantA, (tx) => registry.devices.touch(tx, some(devices)[0] ?? '')),
      ...devices.slice(0, 3).map((id) => () => registry.gate.facts('device', id)),
    ];
    for (let round = 0; round < 12; round += 1) {
      await Promise.all(Array.from({ length: 20 }, (_, i) => work[i % work.length]?.() ?? Promise.resolve()));
      for (const id of devices) {
        const { facts } = await registry.gate.facts('device', id);
        const truth = await registry.in(registry.tenantA, (tx) => registry.devices.factsInside(tx, 'device', id));
        expect(facts).toEqual(truth);
      }
    }
  });
});
