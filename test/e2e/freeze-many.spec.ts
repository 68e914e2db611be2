import { EmqxControl } from '../../src/lifecycle/emqx-control.js';
import { TestApp } from '../factories/app.js';
import { endAll, mqttConnect, type Connected } from '../factories/mqtt-client.js';
import { until } from '../factories/until.js';
import { FakeEmqx } from '../fakes/fake-emqx.js';

const SESSIONS = 1_000;

interface Made {
  readonly id: string;
  readonly client_secret: string;
}

/** A tenant with so many devices, registered in one go. */
async function fleet(app: TestApp, slug: string, count: number): Promise<{ tenantId: string; devices: Made[] }> {
  const tenant = await app.call<{ id: string }>('POST', '/tenants', { slug, name: slug });
  const lines = Array.from({ length: count }, (_, i) => JSON.stringify({ slug: `d-${i}`, credentials: ['secret'] })).join('\n');
  const response = await fetch(`${app.url}/api/v1/devices/bulk`, {
    method: 'POST', headers: { authorization: `Bearer ${app.adminToken}`, 'x-tenant': slug, 'content-type': 'application/x-ndjson' }, body: lines,
  });
  const devices = (await response.text()).trim().split('\n').map((line) => (JSON.parse(line) as { device: Made }).device);
  expect(devices).toHaveLength(count);
  return { tenantId: tenant.body.id, devices };
}

const connect = async (app: TestApp, { id, client_secret: password }: Made): Promise<string> =>
  (await app.ask('mqtt-auth', { clientid: id, username: id, password, listener_kind: 'plain' })).body.result;

describe('a tenant of a thousand sessions that is frozen', () => {
  it('is refused at the gate at once and cut at EMQX in few calls, with its progress told; others stay', async () => {
    const emqx = await FakeEmqx.start();
    const app = await TestApp.start({ control: new EmqxControl({ url: emqx.url, key: emqx.key, secret: emqx.secret }) });
    try {
      const { tenantId, devices } = await fleet(app, 'large', SESSIONS);
      const other = await app.registerDevice('other');
      for (const { id } of devices) emqx.clients.set(id, { ver: '1' });
      emqx.clients.set(other.id, { ver: '1' });
      emqx.clients.set(`${devices[0]?.id}:second`, { ver: '1' });
      const some = devices.filter((_, i) => i % 250 === 0);
      for (const device of some) expect(await connect(app, device)).toBe('allow');
      emqx.calls.length = 0;
      const ordered = performance.now();
      const frozen = await app.call<{ subjects: number; took: { totalMs: number } }>('POST', `/tenants/${tenantId}/freeze`, { reason: 'unpaid' });
      expect([frozen.status, frozen.body.subjects]).toEqual([200, SESSIONS]);
      // The very next question.
      for (const device of some) expect(await connect(app, device)).toBe('deny');
      await until('all are cut', () => emqx.clients.size === 1);
      const cut = performance.now() - ordered;
      expect([...emqx.clients.keys()]).toEqual([other.id]);
      const progress = async () => (await app.call<{ unconfirmed: number; sweeps: number }>('GET', `/tenants/${tenantId}/freeze`)).body;
      await until('it is confirmed', async () => (await progress()).unconfirmed === 0);
      const told = await progress();
      expect(told).toMatchObject({ status: 'FROZEN', unconfirmed: 0 });
      expect(told.sweeps).toBeLessThanOrEqual(SESSIONS);
      console.info(`frozen with ${SESSIONS} sessions at a stand-in for EMQX: answered after ${frozen.body.took.totalMs} ms, all cut after ${Math.round(cut)} ms, ${emqx.calls.length} calls`);
      expect(emqx.calls.length).toBeLessThan(60);
      expect(emqx.calls.filter((call) => call === 'POST /clients/kickout/bulk').length).toBeGreaterThan(0);
      // Again: who was let in meanwhile is cut as well.
      emqx.clients.set(devices[7]?.id ?? '', { ver: '1' });
      expect((await app.call('POST', `/tenants/${tenantId}/freeze`, { reason: 'again' })).status).toBe(200);
      await until('the one is cut', () => emqx.clients.size === 1);
      expect([...emqx.clients.keys()]).toEqual([other.id]);
    } finally {
      await app.stop();
      await emqx.stop();
    }
  });

  it('is cut at an EMQX that kicks one by one, and when it fails at first; nothing is confirmed before', async () => {
    const emqx = await FakeEmqx.start();
    const app = await TestApp.start({ control: new EmqxControl({ url: emqx.url, key: emqx.key, secret: emqx.secret, timeoutMs: 500 }) });
    try {
      const { tenantId, devices } = await fleet(app, 'old', 100);
      for (const { id } of devices) emqx.clients.set(id, { ver: '1' });
      emqx.bulkKick = false;
      emqx.mood = 'failing';
      expect((await app.call('POST', `/tenants/${tenantId}/freeze`, { reason: 'unpaid' })).status).toBe(200);
      await until('it was tried', () => emqx.calls.length > 0);
      expect((await app.call('GET', `/tenants/${tenantId}/freeze`)).body).toMatchObject({ unconfirmed: 100, sweeps: 0 });
      expect(emqx.clients.size).toBe(100);
      emqx.mood = 'well';
      await until('all are cut', () => emqx.clients.size === 0);
      expect(emqx.calls.filter((call) => call.startsWith('DELETE /clients/'))).toHaveLength(100);
    } finally {
      await app.stop();
      await emqx.stop();
    }
  });

  it('is cut at the embedded broker, connection by connection', async () => {
    const app = await TestApp.start({ broker: true });
    const open: Connected[] = [];
    try {
      const { tenantId, devices } = await fleet(app, 'embedded', 100);
      for (let i = 0; i < devices.length; i += 20) {
        open.push(...(await Promise.all(devices.slice(i, i + 20).map(({ id, client_secret: password }) =>
          mqttConnect(app.broker?.port ?? 0, { clientId: id, username: id, password })))));
      }
      const gone = Promise.all(open.map(({ client }) => new Promise<void>((resolve) => client.once('close', () => resolve()))));
      const ordered = performance.now();
      expect((await app.call('POST', `/tenants/${tenantId}/freeze`, { reason: 'unpaid' })).status).toBe(200);
      await gone;
      console.info(`frozen with ${devices.length} connections at the embedded broker: all closed after ${Math.round(performance.now() - ordered)} ms`);
    } finally {
      endAll(open);
      await app.stop();
    }
  });
});
