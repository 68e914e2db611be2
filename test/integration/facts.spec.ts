import { randomBytes, randomUUID } from 'node:crypto';
import { Pools } from '../../src/platform/database/pools.js';
import { cloneDatabase } from '../factories/database.js';
import { admin, Registry } from '../factories/registry.js';
import { FakeClock } from '../fakes/fake-clock.js';
import { FakeSharedStore } from '../fakes/fake-shared-store.js';

let registry: Registry;
let clock: FakeClock;

beforeAll(async () => {
  clock = new FakeClock(Date.now());
  registry = await Registry.open({ clock });
});

afterAll(() => registry.close());
afterEach(() => jest.restoreAllMocks());

const me = () => admin(registry.tenantA);

/** Counts the statements of the gate's pool while `work` runs. */
async function statements<T>(work: () => Promise<T>, of = registry): Promise<{ count: number; answer: T }> {
  const spy = jest.spyOn(of.module.get(Pools).gate, 'query');
  const answer = await work();
  const count = spy.mock.calls.length;
  spy.mockRestore();
  return { count, answer };
}

async function freeze(tenantId: string, status: 'ACTIVE' | 'FROZEN' = 'FROZEN'): Promise<void> {
  await registry.sql('UPDATE tenants SET status = $2, version = version + 1 WHERE id = $1', [tenantId, status]);
}

describe('facts', () => {
  it('cost one statement cold, however much they hold, and none warm', async () => {
    const groups = [await registry.group(), await registry.group()];
    const device = await registry.device({ groups, allowedProofs: ['token'] });
    for (const id of groups) {
      await registry.rules.add(me(), { kind: 'group', id }, { action: 'publish', topic: `t/\${tenant.id}/${id}`, qos: [1] });
    }
    await registry.rules.add(me(), { kind: 'device', id: device.id }, { action: 'all', topic: 't/${tenant.id}/own', retain: true });

    const cold = await statements(() => registry.gate.facts('device', device.id));
    expect(cold.count).toBe(1);
    expect(cold.answer).toMatchObject({
      stale: false,
      facts: {
        kind: 'device', id: device.id, tenantId: registry.tenantA, tenantStatus: 'ACTIVE', status: 'ACTIVE', slug: device.slug,
        groups: [...groups].sort(), allowedProofs: ['token'], tokensNotBefore: null, clockless: false,
      },
    });
    const extra = [...groups, 'own'].map((last) => `t/${registry.tenantA}/${last}`);
    expect(cold.answer.facts?.topics.publish.slice(-3)).toEqual(extra);
    const warm = await statements(async () => {
      const peeked = registry.gate.peek('device', device.id);
      return [peeked?.facts, (await registry.gate.facts('device', device.id)).facts];
    });
    expect(warm).toEqual({ count: 0, answer: [cold.answer.facts, cold.answer.facts] });
  });

  it('of one device cost one statement for any number of questions at once', async () => {
    const { id } = await registry.device();
    const { count } = await statements(() => Promise.all(Array.from({ length: 100 }, () => registry.gate.facts('device', id))));
    expect(count).toBe(1);
  });

  it('of an id that is no canonical UUID are not looked for at all', async () => {
    const { id } = await registry.device();
    const bad = ['', 'x', id.toUpperCase(), `${id} `, `{${id}}`, `${id}:s`, id.replaceAll('-', ''), `svc:${id}`, "' OR 1=1 --", '\u0000'];
    const { count } = await statements(async () => {
      for (const wrong of bad) {
        expect(registry.gate.peek('device', wrong)).toEqual({ facts: null, stale: false });
        expect(await registry.gate.facts('device', wrong)).toEqual({ facts: null, stale: false });
      }
    });
    expect(count).toBe(0);
  });

  it('of a device are not those of a service account with the same id, nor the other way round', async () => {
    const [device, account] = [await registry.device(), await registry.account()];
    expect((await registry.gate.facts('service', device.id)).facts).toBeNull();
    expect((await registry.gate.facts('device', account.id)).facts).toBeNull();
    expect((await registry.gate.facts('service', account.id)).facts).toMatchObject({ kind: 'service', status: 'ACTIVE', slug: null, groups: [] });
  });

  it('exist from the commit of the registration on, even for who was just told that there is no such device', async () => {
    const id = await registry.in(registry.tenantA, async (tx) => {
      const device = await registry.devices.create(tx, { slug: 'newborn', status: 'ACTIVE' });
      expect((await registry.gate.facts('device', device.id)).facts).toBeNull();
      expect((await registry.devices.factsInside(tx, 'device', device.id))?.topics.publish).toContain(`devices/${device.id}/telemetry`);
      return device.id;
    });
    expect((await registry.gate.facts('device', id)).facts?.slug).toBe('newborn');
  });

  it('are new from the commit on and not before, for each kind of change', async () => {
    const { id, slug } = await registry.device();
    const facts = async () => (await registry.gate.facts('device', id)).facts;
    const before = await facts();
    await registry.in(registry.tenantA, async (tx) => {
      await registry.devices.changeStatus(tx, await registry.devices.lock(tx, id), 'QUARANTINED', 'odd');
      expect(await facts()).toBe(before);
    });
    expect(await facts()).toMatchObject({ status: 'QUARANTINED', topics: { publish: [`devices/${id}/remediation/up`] } });
    await registry.devices.update(me(), id, { slug: `x-${slug}`, allowedProofs: ['certificate'] });
    expect(await facts()).toMatchObject({ slug: `x-${slug}`, allowedProofs: ['certificate'] });
    await registry.in(registry.tenantA, (tx) => registry.devices.setTokensNotBefore(tx, id, new Date('2026-03-01T00:00:00.500Z')));
    expect(await facts()).toMatchObject({ tokensNotBefore: Date.parse('2026-03-01T00:00:01Z') / 1000 });
    const version = await registry.in(registry.tenantA, (tx) => registry.devices.touch(tx, id));
    expect((await facts())?.version).toBe(version);
    expect(version).toBeGreaterThan(before?.version ?? Infinity);
  });

  it('and their version stay as they are when the transaction is rolled back', async () => {
    const { id } = await registry.device();
    const before = await registry.gate.facts('device', id);
    const failed = registry.in(registry.tenantA, async (tx) => {
      await registry.devices.touch(tx, id);
      await registry.devices.changeStatus(tx, await registry.devices.get(tx, id), 'SUSPENDED', 'no');
      throw new Error('rolled back');
    });
    await expect(failed).rejects.toThrow('rolled back');
    const { count, answer } = await statements(() => registry.gate.facts('device', id));
    expect(count).toBe(0);
    expect(answer).toEqual(before);
  });

  it('change with a group for every member, more of them than one batch holds', async () => {
    const group = await registry.group();
    await registry.sql(
      `WITH d AS (INSERT INTO devices (tenant_id, slug, status) SELECT $1, 'm-' || i, 'ACTIVE' FROM generate_series(1, 1100) i RETURNING id)
       INSERT INTO group_members (tenant_id, group_id, device_id) SELECT $1, $2, id FROM d`,
      [registry.tenantA, group],
    );
    const members = await registry.sql<{ id: string }>('SELECT device_id AS id FROM group_members WHERE group_id = $1', [group]);
    const ids = members.map(({ id }) => id);
    for (const id of ids) await registry.gate.facts('device', id);
    await registry.rules.add(me(), { kind: 'group', id: group }, { action: 'publish', topic: 't/${tenant.id}/new' });
    for (const id of ids) {
      const { facts } = await registry.gate.facts('device', id);
      if (!facts?.topics.publish.includes(`t/${registry.tenantA}/new`)) throw new Error(`${id} was forgotten`);
    }
  });
});

describe('facts and the tenant', () => {
  afterEach(() => freeze(registry.tenantA, 'ACTIVE').then(() => registry.gate.invalidateTenant(registry.tenantA)));

  it('say so of every device and service account when it is frozen, and when it is opened again', async () => {
    const [device, account] = [await registry.device(), await registry.account()];
    const foreign = await registry.device({ tenantId: registry.tenantB });
    const all = async () => {
      const answers = [
        await registry.gate.facts('device', device.id),
        await registry.gate.facts('service', account.id),
        await registry.gate.facts('device', foreign.id),
      ];
      return answers.map(({ facts }) => facts?.tenantStatus);
    };
    expect(await all()).toEqual(['ACTIVE', 'ACTIVE', 'ACTIVE']);
    await freeze(registry.tenantA);
    await registry.gate.invalidateTenant(registry.tenantA);
    expect(await all()).toEqual(['FROZEN', 'FROZEN', 'ACTIVE']);
    await freeze(registry.tenantA, 'ACTIVE');
    await registry.gate.invalidateTenant(registry.tenantA);
    expect(await all()).toEqual(['ACTIVE', 'ACTIVE', 'ACTIVE']);
  });

  it('are right when the tenant is frozen between a statement of a change and its commit', async () => {
    const { id } = await registry.device();
    await registry.gate.facts('device', id);
    await registry.in(registry.tenantA, async (tx) => {
      await registry.devices.changeStatus(tx, await registry.devices.lock(tx, id), 'SUSPENDED', 'raced');
      await freeze(registry.tenantA);
      await registry.gate.invalidateTenant(registry.tenantA);
      // ACTIVE of a frozen tenant: the same sum of versions that the change has seen for SUSPENDED.
      expect((await registry.gate.facts('device', id)).facts).toMatchObject({ status: 'ACTIVE', tenantStatus: 'FROZEN' });
    });
    expect((await registry.gate.facts('device', id)).facts).toMatchObject({ status: 'SUSPENDED', tenantStatus: 'FROZEN' });
  });
});

describe('facts without Postgres', () => {
  it('are the last confirmed ones, marked as stale, until STALE_FACTS_MAX, then nothing', async () => {
    const { id } = await registry.device();
    const { facts } = await registry.gate.facts('device', id);
    jest.spyOn(registry.module.get(Pools).gate, 'query').mockRejectedValue(new Error('Connection terminated') as never);
    clock.advance(31_000);
    expect(registry.gate.peek('device', id)).toBeUndefined();
    expect(await registry.gate.facts('device', id)).toEqual({ facts, stale: true });
    clock.advance(30_000);
    await expect(registry.gate.facts('device', id)).rejects.toThrow('Connection terminated');
    await expect(registry.gate.facts('device', randomUUID())).rejects.toThrow('Connection terminated');
  });
});

describe('two processes on one store', () => {
  let here: Registry;
  let there: Registry;
  let store: FakeSharedStore;

  beforeAll(async () => {
    const database = await cloneDatabase();
    store = new FakeSharedStore({ clock });
    const keys = { SECRETS_MASTER_KEYS: `test:${randomBytes(32).toString('base64')}` };
    here = await Registry.open({ database, store, clock, env: keys });
    there = await Registry.open({ database, store, clock, env: keys });
    // What the store holds from before a process began to hear of changes is not believed by it.
    clock.advance(1);
  });

  afterAll(async () => {
    await here.module.close();
    await there.close();
  });

  it('share facts: what one has read costs the other no statement', async () => {
    const { id } = await here.device();
    const { facts } = await here.gate.facts('device', id);
    await Promise.resolve();
    const { count, answer } = await statements(() => there.gate.facts('device', id), there);
    expect(count).toBe(0);
    expect(answer).toEqual({ facts, stale: false });
  });

  it('see each other\'s changes from the commit on, without waiting', async () => {
    const { id, tenantId } = await here.device();
    expect((await there.gate.facts('device', id)).facts?.status).toBe('ACTIVE');
    await here.in(tenantId, async (tx) => here.devices.changeStatus(tx, await here.devices.lock(tx, id), 'SUSPENDED', 'lost'));
    expect(there.gate.peek('device', id)).toBeUndefined();
    expect((await there.gate.facts('device', id)).facts?.status).toBe('SUSPENDED');
  });

  it('see them too when the message was lost: without a subscription the process cache is passed over', async () => {
    const { id, tenantId } = await here.device();
    expect((await there.gate.facts('device', id)).facts?.status).toBe('ACTIVE');
    store.setSubscribed(false);
    await here.in(tenantId, async (tx) => here.devices.changeStatus(tx, await here.devices.lock(tx, id), 'SUSPENDED', 'lost'));
    expect((await there.gate.facts('device', id)).facts?.status).toBe('SUSPENDED');
    store.setSubscribed(true);
    expect((await there.gate.facts('device', id)).facts?.status).toBe('SUSPENDED');
  });

  it('keep no readable id and no foreign value in the store: what was tampered with is not believed', async () => {
    const { id } = await here.device();
    await here.gate.facts('device', id);
    const write = jest.spyOn(store, 'writeIfNewer');
    await here.in(here.tenantA, (tx) => here.devices.touch(tx, id));
    await here.gate.facts('device', id);
    const [key = '', version = 0, value] = write.mock.calls.at(-1) ?? [];
    expect(key).not.toContain(id);
    write.mockRestore();
    await store.writeIfNewer(key, version, (value ?? '').replace('"ACTIVE"', '"PENDING"'), 60_000);
    const { count, answer } = await statements(() => there.gate.facts('device', id), there);
    expect([count, answer.facts?.status]).toEqual([1, 'ACTIVE']);
  });
});
