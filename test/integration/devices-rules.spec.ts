import { randomUUID } from 'node:crypto';
import { Permission } from '../../src/access/permission.js';
import { MAX_RULES_PER_OWNER, RulesService } from '../../src/devices/rules.service.js';
import type { RuleOwner } from '../../src/devices/rules.repository.js';
import { admin, codeOf, Registry } from '../factories/registry.js';

let registry: Registry;
let device: RuleOwner;
let group: RuleOwner;
let service: RuleOwner;

beforeAll(async () => {
  registry = await Registry.open();
});

afterAll(() => registry.close());

beforeEach(async () => {
  device = { kind: 'device', id: (await registry.device()).id };
  group = { kind: 'group', id: await registry.group() };
  service = { kind: 'service', id: (await registry.account()).id };
  registry.narrowing.calls.splice(0);
});

const me = () => admin(registry.tenantA);
const platform = () => admin(registry.tenantA, [Permission.PlatformRules]);
const add = (owner: RuleOwner, topic: string, action = 'subscribe') => registry.rules.add(me(), owner, { action, topic });

describe('a rule', () => {
  it('is added, listed, in force at once, and gone at once when it is removed', async () => {
    for (const owner of [device, service]) {
      const kind = owner.kind as 'device' | 'service';
      const rule = await registry.rules.add(me(), owner, { action: 'publish', topic: 't/${tenant.id}/x/+', qos: [1, 0], retain: false });
      expect(rule).toMatchObject({ action: 'publish', topic: 't/${tenant.id}/x/+', qos: [0, 1], retain: false });
      expect((await registry.rules.list(me(), owner, {})).items.map(({ id }) => id)).toEqual([rule.id]);
      expect((await registry.gate.facts(kind, owner.id)).facts?.topics.publish).toContain(`t/${registry.tenantA}/x/+`);
      expect(registry.narrowing.calls).toEqual([]);
      await registry.rules.remove(me(), owner, rule.id);
      expect((await registry.gate.facts(kind, owner.id)).facts?.topics.publish).not.toContain(`t/${registry.tenantA}/x/+`);
      expect(registry.narrowing.calls.splice(0)).toEqual([
        { subjects: [{ kind, id: owner.id, tenantId: registry.tenantA }], why: 'RULE_REMOVED' },
      ]);
    }
  });

  it('of a group counts for each of its members, rendered for each', async () => {
    const members = await Promise.all(['ga', 'gb'].map((slug) => registry.device({ slug, groups: [group.id] })));
    const rule = await add(group, 't/${tenant.id}/${device.slug}/${device.id}');
    for (const { id, slug } of members) {
      expect((await registry.gate.facts('device', id)).facts?.topics.subscribe).toContain(`t/${registry.tenantA}/${slug}/${id}`);
    }
    await registry.rules.remove(me(), group, rule.id);
    expect(registry.narrowing.calls.map(({ subjects }) => subjects.map(({ id }) => id).sort())).toEqual([members.map(({ id }) => id).sort()]);
  });

  it('leaves the PENDING, quarantined and ended members of its group as they are', async () => {
    const pending = await registry.device({ status: 'PENDING', groups: [group.id] });
    await add(group, 't/${tenant.id}/x');
    const { facts } = await registry.gate.facts('device', pending.id);
    expect(facts?.topics.subscribe).toEqual([`devices/${pending.id}/provision/down`]);
  });

  it('and its audit row name the owner', async () => {
    const rule = await add(device, 't/${tenant.id}/audited');
    const rows = await registry.sql(
      `SELECT details FROM security_audit_logs WHERE event_type = 'RULE_CREATED' AND device_id = $1`, [device.id]);
    expect(rows).toEqual([{ details: { owner: device, ruleId: rule.id, rule: { action: 'subscribe', topic: 't/${tenant.id}/audited' } } }]);
  });
});

describe('a rule is refused', () => {
  it.each([
    ['a/#/b'], ['a/b+'], ['$SYS/#'], ['eq t/${tenant.id}/x'], ['t/${tenant.id}/${username}'], ['t/${tenant.id}/${device.id'],
    ['devices/%c/x/${clientid}'], ['\u0000'],
  ])('as invalid with the topic %j', async (topic) => {
    await expect(add(device, topic)).rejects.toMatchObject({ code: 'RULE_INVALID', status: 400, errors: [{ path: 'topic' }] });
  });

  it('as invalid for a service account that names a device', async () => {
    for (const variable of ['${device.id}', '${device.slug}']) {
      expect(await codeOf(add(service, `t/\${tenant.id}/${variable}`))).toBe('RULE_INVALID');
      expect(await codeOf(add(group, `t/\${tenant.id}/${variable}`))).toBe('NO_ERROR');
    }
  });

  it('as invalid with an action, a QoS or a retain that is none', async () => {
    const topic = 't/${tenant.id}/x';
    for (const rule of [
      { action: 'deny', topic }, { action: 'publish', topic, qos: [3] }, { action: 'publish', topic, qos: [] },
      { action: 'subscribe', topic, retain: true }, { action: 'publish', topic, superuser: true },
    ]) {
      expect(await codeOf(registry.rules.add(me(), device, rule))).toBe('RULE_INVALID');
    }
  });

  it('outside of the tenant\'s roots, unless the caller holds the platform permission', async () => {
    const foreignDevice = (await registry.device({ tenantId: registry.tenantB })).id;
    const foreignGroup = await registry.group(registry.tenantB);
    for (const topic of [
      '#', '+/+/telemetry', 'devices/+/telemetry', 'devices/#', 'verified/#', `verified/${registry.tenantB}/#`, `t/${registry.tenantB}/x`,
      't/+/x', `devices/$broadcast/${registry.tenantB}/x`, `devices/$group/${foreignGroup}/x`, 'devices/$group/+/x',
      `devices/${foreignDevice}/telemetry`, `devices/${randomUUID()}/telemetry`, `devices/${device.id.toUpperCase()}/x`,
      'devices/${device.slug}/x', 'other/${device.id}/x', `t/\${tenant.id}x/y`,
    ]) {
      expect([topic, await codeOf(add(device, topic))]).toEqual([topic, 'RULE_OUTSIDE_TENANT']);
      expect([topic, await codeOf(registry.rules.add(platform(), device, { action: 'subscribe', topic }))]).toEqual([topic, 'NO_ERROR']);
    }
  });

  it('for nothing inside of them', async () => {
    const other = (await registry.device()).id;
    for (const topic of [
      `devices/${other}/telemetry`, 'devices/${device.id}/#', `devices/$group/${group.id}/#`, `devices/$broadcast/${registry.tenantA}/x`,
      'devices/$broadcast/${tenant.id}/#', 'verified/${tenant.id}/#', `t/${registry.tenantA}/+/x`,
    ]) {
      expect([topic, await codeOf(add(device, topic))]).toEqual([topic, 'NO_ERROR']);
    }
  });

  it('that would let a device speak as if we had verified it, unless the platform says so', async () => {
    for (const action of ['publish', 'all'] as const) {
      const rule = { action, topic: 'verified/${tenant.id}/x' };
      expect(await codeOf(registry.rules.add(me(), device, rule))).toBe('RULE_OUTSIDE_TENANT');
      expect(await codeOf(registry.rules.add(platform(), service, rule))).toBe('NO_ERROR');
    }
  });

  it('for an owner of another tenant, and where it is not the owner\'s', async () => {
    const rule = await add(device, 't/${tenant.id}/x');
    const stranger = admin(registry.tenantB);
    for (const [owner, code] of [[device, 'DEVICE_NOT_FOUND'], [group, 'GROUP_NOT_FOUND'], [service, 'SERVICE_ACCOUNT_NOT_FOUND']] as const) {
      expect(await codeOf(registry.rules.list(stranger, owner, {}))).toBe(code);
      expect(await codeOf(registry.rules.add(stranger, owner, { action: 'publish', topic: 't/${tenant.id}/x' }))).toBe(code);
      expect(await codeOf(registry.rules.remove(stranger, owner, rule.id))).toBe(code);
    }
    expect(await codeOf(registry.rules.remove(me(), group, rule.id))).toBe('RULE_NOT_FOUND');
    const other: RuleOwner = { kind: 'device', id: (await registry.device()).id };
    expect(await codeOf(registry.rules.remove(me(), other, rule.id))).toBe('RULE_NOT_FOUND');
  });

  it('beyond a hundred an owner, counted exactly under concurrency', async () => {
    await registry.sql(
      `INSERT INTO topic_rules (tenant_id, device_id, action, topic) SELECT $1, $2, 'publish', 't/x/' || i FROM generate_series(1, $3) i`,
      [registry.tenantA, device.id, MAX_RULES_PER_OWNER - 3],
    );
    const codes = await Promise.all(Array.from({ length: 8 }, () => codeOf(add(device, 't/${tenant.id}/x'))));
    expect(codes.filter((code) => code === 'NO_ERROR')).toHaveLength(3);
    expect(codes.filter((code) => code === 'RULE_LIMIT_REACHED')).toHaveLength(5);
  });
});

describe('where the broker decides by its list alone', () => {
  let strict: Registry;

  beforeAll(async () => {
    strict = await Registry.open({ env: { ACL_TERMINAL: 'deny' } });
  });

  afterAll(() => strict.close());

  it('a rule that no list can hold exactly is refused when it is written', async () => {
    const owner: RuleOwner = { kind: 'device', id: (await strict.device()).id };
    const write = (action: string, topic: string) => codeOf(strict.module.get(RulesService).add(admin(strict.tenantA), owner, { action, topic }));
    expect(await write('subscribe', 't/${tenant.id}/+/+')).toBe('RULE_NOT_LISTABLE');
    expect(await write('all', 't/${tenant.id}/+/x/+/#')).toBe('RULE_NOT_LISTABLE');
    expect(await write('publish', 't/${tenant.id}/+/+')).toBe('NO_ERROR');
    expect(await write('subscribe', 't/${tenant.id}/+')).toBe('NO_ERROR');
    const { facts } = await strict.gate.facts('device', owner.id);
    expect(facts?.acl.at(-1)?.permission).toBe('deny');
  });
});

describe('a service account', () => {
  it('has a name of its own in the tenant, and is unknown to others', async () => {
    const account = await registry.account('bridge');
    expect(await codeOf(registry.account('bridge'))).toBe('SERVICE_ACCOUNT_NAME_TAKEN');
    expect(await registry.accounts.show(me(), account.id)).toEqual(account);
    expect((await registry.accounts.list(me(), {})).items.map(({ id }) => id)).toContain(account.id);
    expect(await codeOf(registry.accounts.show(admin(registry.tenantB), account.id))).toBe('SERVICE_ACCOUNT_NOT_FOUND');
    expect((await registry.accounts.list(admin(registry.tenantB), {})).items).toEqual([]);
  });

  it('that is disabled is granted nothing from the commit on', async () => {
    await add(service, 'verified/${tenant.id}/#');
    expect((await registry.gate.facts('service', service.id)).facts?.topics.subscribe).toEqual([`verified/${registry.tenantA}/#`]);
    await registry.in(registry.tenantA, async (tx) => {
      const account = await registry.accounts.lock(tx, service.id);
      await registry.accounts.changeStatus(tx, account, 'DISABLED');
    });
    const { facts } = await registry.gate.facts('service', service.id);
    expect(facts).toMatchObject({ status: 'DISABLED', topics: { publish: [], subscribe: [] } });
  });

  it('is touched with a higher version each time', async () => {
    const { facts } = await registry.gate.facts('service', service.id);
    const version = await registry.in(registry.tenantA, (tx) => registry.accounts.touch(tx, service.id));
    expect(version).toBe((facts?.version ?? 0) + 1);
    expect((await registry.gate.facts('service', service.id)).facts?.version).toBe(version);
  });
});
