import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { SystemClock } from '../../src/platform/clock/clock.js';
import { Notifications } from '../../src/platform/database/notifications.js';
import { Pools } from '../../src/platform/database/pools.js';
import { administer, cloneDatabase, type TestDatabase } from '../factories/database.js';
import { Registry } from '../factories/registry.js';
import { until } from '../factories/until.js';
import { FakeSharedStore } from '../fakes/fake-shared-store.js';
import { FlakyProxy } from '../fakes/flaky-proxy.js';

const EVERYWHERE_MS = 1_000;

let database: TestDatabase;
let proxy: FlakyProxy;
/** The one that makes the changes; the other one reaches Postgres through the proxy. */
let here: Registry;
let there: Registry;
/** Two stores that know nothing of each other: as if each process had lost the other's Redis. */
const stores = [0, 1].map(() => new FakeSharedStore({ clock: new SystemClock() }));

beforeAll(async () => {
  database = await cloneDatabase();
  proxy = await FlakyProxy.before(database.url);
  const env = { SECRETS_MASTER_KEYS: `test:${randomBytes(32).toString('base64')}` };
  here = await Registry.open({ database, store: stores[0] as FakeSharedStore, env });
  there = await Registry.open({ database: { ...database, url: proxy.route(database.url) }, store: stores[1] as FakeSharedStore, env });
});

afterAll(async () => {
  await there.module.close();
  await here.module.close();
  await proxy.close();
  await database.drop();
});

afterEach(async () => {
  jest.restoreAllMocks();
  proxy.heal();
  await until('both listen', () => [here, there].every((of) => of.module.get(Notifications).listening));
});

const listening = (of: Registry): boolean => of.module.get(Notifications).listening;
const status = async (of: Registry, id: string): Promise<string | undefined> => (await of.gate.facts('device', id)).facts?.status;

/** In the memory of the other process, and in its store. */
async function warm(): Promise<{ id: string; tenantId: string }> {
  const device = await here.device();
  expect(await status(there, device.id)).toBe('ACTIVE');
  expect(there.gate.peek('device', device.id)?.facts?.status).toBe('ACTIVE');
  return device;
}

const suspend = ({ id, tenantId }: { id: string; tenantId: string }): Promise<unknown> =>
  here.in(tenantId, async (tx) => here.devices.changeStatus(tx, await here.devices.lock(tx, id), 'SUSPENDED', 'lost'));

/** What Postgres sends while `work` runs. */
async function notices(work: () => Promise<unknown>): Promise<string[]> {
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  const heard: string[] = [];
  client.on('notification', ({ payload = '' }) => heard.push(payload));
  await client.query('LISTEN portcullis_facts');
  await work();
  // Comes after whatever was committed before it.
  await administer(database.url, (other) => other.query(`SELECT pg_notify('portcullis_facts', 'end')`));
  await until('all was heard', () => heard.includes('end'));
  await client.end();
  return heard.slice(0, -1);
}

describe('a change is told by Postgres', () => {
  it('when it is committed, once for each subject, and not when it is rolled back', async () => {
    const [device, account] = [await here.device(), await here.account()];
    expect(await notices(() => suspend(device))).toEqual([`device ${device.id}`]);
    expect(await notices(() => here.in(here.tenantA, async (tx) => {
      await here.accounts.touch(tx, account.id);
      await here.accounts.touch(tx, account.id);
    }))).toEqual([`service ${account.id}`]);
    const undone = here.in(here.tenantA, async (tx) => {
      await here.accounts.touch(tx, account.id);
      throw new Error('rolled back');
    });
    expect(await notices(() => undone.catch(() => undefined))).toEqual([]);
  });

  it('whoever makes it: by hand, without a thought of versions', async () => {
    const { id } = await here.device();
    expect(await notices(() => here.sql(`UPDATE devices SET status = 'SUSPENDED' WHERE id = $1`, [id]))).toEqual([`device ${id}`]);
  });

  it('and not what is no part of the facts, nor a birth: who is asked about before is not known', async () => {
    const { id } = await here.device();
    expect(await notices(() => here.device())).toEqual([]);
    expect(await notices(() => here.sql('UPDATE devices SET last_seen_at = now(), reported_status = $2 WHERE id = $1', [id, 'ONLINE']))).toEqual([]);
  });

  it('of a whole tenant by one notice: its own state, and more changes in one transaction than are told one by one', async () => {
    const { tenantB } = here;
    await here.sql(`INSERT INTO devices (tenant_id, slug, status) SELECT $1, 'many-' || i, 'ACTIVE' FROM generate_series(1, 3000) i`, [tenantB]);
    expect(await notices(() => here.sql('UPDATE tenants SET version = version + 1 WHERE id = $1', [tenantB]))).toEqual([`tenant ${tenantB}`]);
    const heard = await notices(() => here.sql('UPDATE devices SET version = version + 1 WHERE tenant_id = $1', [tenantB]));
    expect(heard.filter((payload) => payload.startsWith('device '))).toHaveLength(500);
    expect(heard.filter((payload) => payload === `tenant ${tenantB}`)).toHaveLength(1);
    // The next transaction of the connection counts anew.
    const few = `UPDATE devices SET version = version + 1 WHERE tenant_id = '${tenantB}' AND slug IN ('many-1', 'many-2')`;
    const sets = await notices(() => administer(database.url, async (client) => {
      await client.query(`UPDATE devices SET version = version + 1 WHERE tenant_id = '${tenantB}'`);
      await client.query(few);
    }));
    expect(sets).toHaveLength(501 + 2);
  });
});

describe('without the store of the one who makes the change', () => {
  it('a suspension holds in the other process, whose store still has the old state', async () => {
    const device = await warm();
    await suspend(device);
    await until('it holds there', async () => (await status(there, device.id)) === 'SUSPENDED', EVERYWHERE_MS);
  });

  it('a tenant that is frozen is frozen in the other process, all of it, and no other one', async () => {
    const [device, foreign] = [await warm(), await here.device({ tenantId: here.tenantB })];
    await there.gate.facts('device', foreign.id);
    const set = (to: string) => here.sql('UPDATE tenants SET status = $2, version = version + 1 WHERE id = $1', [here.tenantA, to]);
    await set('FROZEN');
    await until('it is frozen there', async () => (await there.gate.facts('device', device.id)).facts?.tenantStatus === 'FROZEN', EVERYWHERE_MS);
    expect(there.gate.peek('device', foreign.id)?.facts?.tenantStatus).toBe('ACTIVE');
    await set('ACTIVE');
    await until('it is open there', async () => (await there.gate.facts('device', device.id)).facts?.tenantStatus === 'ACTIVE', EVERYWHERE_MS);
  });

  it('a reader that races it never keeps the old state', async () => {
    const device = await here.device();
    for (let round = 0; round < 10; round += 1) {
      await here.in(device.tenantId, (tx) => here.devices.touch(tx, device.id));
      proxy.hold();
      const asked = status(there, device.id);
      await until("Postgres' answer", () => proxy.holding > 0);
      const to = round % 2 === 0 ? 'SUSPENDED' : 'ACTIVE';
      await here.in(device.tenantId, async (tx) => here.devices.changeStatus(tx, await here.devices.lock(tx, device.id), to, null));
      proxy.release();
      await asked;
      await until('the new state', async () => (await status(there, device.id)) === to, EVERYWHERE_MS);
      expect(there.gate.peek('device', device.id)?.facts?.status ?? to).toBe(to);
    }
  });

  it('noise on the channel takes nothing away but what is at hand', async () => {
    const device = await warm();
    const noise = ['', 'device', 'device x', 'tenant', `tenant ${here.tenantA} `, `device ${device.id}`, `elephant ${device.id}`, 'x'.repeat(7_000)];
    await administer(database.url, async (client) => {
      for (const payload of noise) await client.query(`SELECT pg_notify('portcullis_facts', $1)`, [payload]);
    });
    await until('it was heard', () => there.gate.peek('device', device.id) === undefined);
    expect(await status(there, device.id)).toBe('ACTIVE');
  });
});

describe('the connection on which changes are told', () => {
  it('comes back when it was cut, and what happened meanwhile is found out', async () => {
    const device = await warm();
    proxy.cut();
    await until('it is known', () => !listening(there));
    await suspend(device);
    proxy.heal();
    await until('it listens again', () => listening(there));
    expect(await status(there, device.id)).toBe('SUSPENDED');
  });

  it('that was only slow has lost nothing: it is not made anew, and what is at hand stays so', async () => {
    const device = await warm();
    const connection = (): Promise<unknown> => here.sql(`SELECT pid FROM pg_stat_activity WHERE application_name = 'portcullis-notices'
      AND datname = current_database() ORDER BY pid`);
    const before = await connection();
    proxy.hold();
    await until('it is known', () => !listening(there), 5_000);
    proxy.release();
    await until('it listens again', () => listening(there));
    expect(await connection()).toEqual(before);
    expect(there.gate.peek('device', device.id)?.facts?.status).toBe('ACTIVE');
  });

  it('is known to be lost when it only hangs', async () => {
    const device = await warm();
    proxy.freeze();
    await until('it is known', () => !listening(there), 5_000);
    await suspend(device);
    proxy.heal();
    await until('it listens again', () => listening(there), 20_000);
    await until('what happened is known', async () => (await status(there, device.id)) === 'SUSPENDED', 5_000);
  }, 40_000);

  it('is not said to listen where what others send does not arrive, as behind a pooler of transactions', async () => {
    const sent = jest.spyOn(there.module.get(Pools).gate, 'query').mockImplementation(() => Promise.resolve({ rows: [] }) as never);
    await administer(database.url, (client) =>
      client.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'portcullis-notices' AND datname = current_database()`));
    await until('it was tried', () => sent.mock.calls.length > 1);
    expect(listening(there)).toBe(false);
  });
});
