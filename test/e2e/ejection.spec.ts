import { EmqxControl } from '../../src/lifecycle/emqx-control.js';
import { TestApp, type RegisteredDevice } from '../factories/app.js';
import { administer, ROLE_PREFIX } from '../factories/database.js';
import { FakeEmqx } from '../fakes/fake-emqx.js';
import { within } from '../factories/mqtt-client.js';

interface LifecycleBody {
  readonly status: string;
  readonly ejection: { readonly confirmed: boolean; readonly steps: { step: string; ms: number }[]; readonly totalMs: number; readonly sweepAt: string | null };
}

describe('an ejection at EMQX', () => {
  let emqx: FakeEmqx;
  let app: TestApp;
  let count = 0;

  beforeAll(async () => {
    emqx = await FakeEmqx.start();
    app = await TestApp.start({ control: controlOf(emqx) });
  });

  beforeEach(() => {
    emqx.mood = 'well';
    emqx.calls.length = 0;
    emqx.clients.clear();
    emqx.bans.clear();
  });

  afterAll(async () => {
    await app.stop();
    await emqx.stop();
  });

  function controlOf(server: FakeEmqx): EmqxControl {
    return new EmqxControl({ url: server.url, key: server.key, secret: server.secret, timeoutMs: 300 });
  }

  const connected = async (): Promise<RegisteredDevice> => {
    const device = await app.registerDevice(`ejected-${(count += 1)}`);
    emqx.clients.set(device.id, { ver: '1' });
    emqx.clients.set(`${device.id}:second`, { ver: '1' });
    return device;
  };

  const order = async (device: RegisteredDevice, verb: string): Promise<LifecycleBody> =>
    (await app.call<LifecycleBody>('POST', `/devices/${device.id}/${verb}`, { reason: 'test' })).body;

  /** What is due later is due now: nobody waits for six seconds. */
  const makeDue = () =>
    administer(app.database.url, async (client) => {
      await client.query(`SET ROLE ${ROLE_PREFIX}_migrator`);
      await client.query('UPDATE ejections SET next_attempt_at = now()');
    });

  const pending = async (device: RegisteredDevice): Promise<{ phase: string }[]> => {
    let rows: { phase: string }[] = [];
    await administer(app.database.url, async (client) => {
      await client.query(`SET ROLE ${ROLE_PREFIX}_migrator`);
      rows = (await client.query<{ phase: string }>('SELECT phase FROM ejections WHERE subject_id = $1', [device.id])).rows;
    });
    return rows;
  };

  const eventually = (what: string, check: () => Promise<boolean> | boolean) =>
    within((async () => {
      while (!(await check())) await new Promise((resolve) => setTimeout(resolve, 30));
    })(), what, 10_000);

  it('bans before it kicks, so that no will is published, and confirms by looking again', async () => {
    const device = await connected();
    const { status, ejection } = await order(device, 'suspend');
    expect(status).toBe('SUSPENDED');
    expect(ejection).toMatchObject({ confirmed: true, sweepAt: expect.any(String) });
    expect(emqx.clients.size).toBe(0);
    const verbs = emqx.calls.map((call) => call.split('/').slice(0, 2).join('/').replace(/\/$/, ''));
    expect(verbs.indexOf('POST /banned')).toBeLessThan(verbs.indexOf('DELETE /clients'));
    expect(verbs.lastIndexOf('GET /clients')).toBeGreaterThan(verbs.lastIndexOf('DELETE /clients'));
    expect([...emqx.bans.keys()].sort()).toEqual([device.id, `${device.id}:second`]);
  });

  it('says so when EMQX does not answer, and goes on until it has confirmed', async () => {
    const device = await connected();
    emqx.mood = 'silent';
    const { status, ejection } = await order(device, 'suspend');
    expect({ status, confirmed: ejection.confirmed }).toEqual({ status: 'SUSPENDED', confirmed: false });
    emqx.mood = 'failing';
    await makeDue();
    await eventually('a failing attempt', () => emqx.calls.length > 2);
    emqx.mood = 'well';
    await makeDue();
    await eventually('the end of the sessions', () => emqx.clients.size === 0);
    await eventually('the note of it', async () => (await pending(device))[0]?.phase === 'SWEEP');
    const { body } = await app.call<{ items: { eventType: string }[] }>('GET', `/audit/logs?deviceId=${device.id}&eventType=DEVICE_EJECTION_UNCONFIRMED`);
    expect(body.items.length).toBeGreaterThan(0);
  });

  it('is finished by another process when this one ends before', async () => {
    const device = await connected();
    emqx.mood = 'closed';
    expect((await order(device, 'suspend')).ejection.confirmed).toBe(false);
    const other = await TestApp.start({ database: app.database, config: app.config, control: controlOf(emqx) });
    emqx.mood = 'well';
    await makeDue();
    await eventually('the end of the sessions', () => emqx.clients.size === 0);
    await other.stop();
  });

  it('catches in its second look a connect that was under way', async () => {
    const device = await connected();
    await order(device, 'suspend');
    emqx.clients.set(`${device.id}:late`, { ver: '1' });
    await makeDue();
    await eventually('the second look', () => emqx.clients.size === 0);
    await eventually('its end', async () => (await pending(device)).length === 0);
    await eventually('its trace', async () => {
      const { body } = await app.call<{ items: object[] }>('GET', `/audit/logs?deviceId=${device.id}&eventType=DEVICE_SWEPT`);
      return body.items.length === 1;
    });
  });

  it('of a quarantine leaves alone the session that came back under the new rules', async () => {
    const device = await connected();
    await order(device, 'quarantine');
    expect(emqx.bans.size).toBe(0);
    const { body } = await app.ask('mqtt-auth', { clientid: device.id, username: device.id, password: device.client_secret, listener_kind: 'token' });
    emqx.clients.set(device.id, { ver: body.client_attrs?.['ver'] ?? '' });
    emqx.clients.set(`${device.id}:old`, { ver: '1' });
    await makeDue();
    await eventually('the second look', () => !emqx.clients.has(`${device.id}:old`));
    expect(emqx.clients.has(device.id)).toBe(true);
  });

  it('is taken back by a reactivation: bans lifted, no second look', async () => {
    const device = await connected();
    await order(device, 'suspend');
    expect(emqx.bans.size).toBe(2);
    await order(device, 'activate');
    expect(emqx.bans.size).toBe(0);
    expect(await pending(device)).toEqual([]);
  });

  it('follows when rules are taken away, for every member of a group', async () => {
    const { body: group } = await app.call<{ id: string }>('POST', '/groups', { slug: 'narrowed' });
    const { body: rule } = await app.call<{ id: string }>('POST', `/groups/${group.id}/rules`, { action: 'publish', topic: 'devices/${device.id}/raw' });
    const devices = [await connected(), await connected()];
    await app.call('POST', `/groups/${group.id}/members`, { deviceIds: devices.map(({ id }) => id) });
    expect(emqx.clients.size).toBe(4);
    expect((await app.call('DELETE', `/groups/${group.id}/rules/${rule.id}`)).status).toBe(204);
    await eventually('the end of the sessions', () => emqx.clients.size === 0);
  });

  it('can be ordered by an admin for a device that stays as it is', async () => {
    const device = await connected();
    const { status, ejection } = await order(device, 'eject');
    expect({ status, confirmed: ejection.confirmed }).toEqual({ status: 'ACTIVE', confirmed: true });
    expect(emqx.clients.size).toBe(0);
    expect(emqx.bans.size).toBe(0);
  });
});
