import { admin, codeOf, Registry } from '../factories/registry.js';

let registry: Registry;

beforeAll(async () => {
  registry = await Registry.open();
});

afterAll(() => registry.close());

const versionOf = async (id: string): Promise<number> => (await registry.in(registry.tenantA, (tx) => registry.devices.get(tx, id))).version;

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

  it('never overlook each other where one adds a member and the other takes a rule from the group', async () => {
    const me = admin(registry.tenantA);
    for (let round = 0; round < 10; round += 1) {
      const group = await registry.group();
      const device = await registry.device();
      const rule = await registry.rules.add(me, { kind: 'group', id: group }, { action: 'publish', topic: 't/${tenant.id}/secret' });
      await Promise.all([
        registry.groups.addMembers(me, group, [device.id]),
        registry.rules.remove(me, { kind: 'group', id: group }, rule.id),
        registry.gate.facts('device', device.id),
      ]);
      const { facts } = await registry.gate.facts('device', device.id);
      expect(facts?.groups).toEqual([group]);
      expect(facts?.topics.publish.filter((topic) => topic.startsWith('t/'))).toEqual([]);
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
      await Promise.all(Array.from({ length: 20 }, (_, i) => work[i % work.length]?.()));
      for (const id of devices) {
        const { facts } = await registry.gate.facts('device', id);
        const truth = await registry.in(registry.tenantA, (tx) => registry.devices.factsInside(tx, 'device', id));
        expect(facts).toEqual(truth);
      }
    }
  });
});
