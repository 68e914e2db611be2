import type { MqttClient } from 'mqtt';
import { EmbeddedBroker } from '../../src/embedded/broker.js';
import { EmbeddedControl } from '../../src/embedded/embedded-control.js';
import { logger } from '../../src/platform/telemetry/logger.js';
import { TestApp, type RegisteredDevice } from '../factories/app.js';
import { administer, ROLE_PREFIX } from '../factories/database.js';
import { closed, endAll, mqttConnect, within, type Connected } from '../factories/mqtt-client.js';
import { until } from '../factories/until.js';
import { FlakyProxy } from '../fakes/flaky-proxy.js';

const DEVICES = 50;
/** Client ids of each device: the plain one and three suffixes. */
const SUFFIXES = ['', ':a', ':b', ':c'];

describe('a suspension', () => {
  const control = new EmbeddedControl();
  const open: Connected[] = [];
  let app: TestApp;
  let callbacks: FlakyProxy;
  let broker: EmbeddedBroker;

  beforeAll(async () => {
    app = await TestApp.start({ control });
    const url = `http://127.0.0.1:${app.internalPort}`;
    callbacks = await FlakyProxy.before(url);
    broker = await EmbeddedBroker.start({
      host: '127.0.0.1', port: 0, callbackUrl: `http://127.0.0.1:${callbacks.port}`, internalSecret: app.config.internal.secrets[0] ?? '', logger,
    });
    control.attach(broker);
  });

  afterEach(() => endAll(open.splice(0)));

  afterAll(async () => {
    callbacks.heal();
    await broker.stop();
    await callbacks.close();
    await app.stop();
  });

  const connectAs = async (device: RegisteredDevice, clientId = device.id): Promise<MqttClient> => {
    const connected = await mqttConnect(broker.port, { clientId, username: device.id, password: device.client_secret });
    open.push(connected);
    return connected.client;
  };

  const order = async (device: RegisteredDevice, verb: string): Promise<{ confirmed: boolean }> => {
    const { status, body } = await app.call<{ ejection: { confirmed: boolean } }>('POST', `/devices/${device.id}/${verb}`, { reason: 'test' });
    expect(status).toBe(200);
    return body.ejection;
  };

  /** The second look is due now: nobody waits for six seconds. */
  const makeDue = (): Promise<void> =>
    administer(app.database.url, async (client) => {
      await client.query(`SET ROLE ${ROLE_PREFIX}_migrator`);
      await client.query('UPDATE ejections SET next_attempt_at = now()');
    });

  it('closes every live session of a device, those under a suffix included, one device after another', async () => {
    const fleet: { device: RegisteredDevice; sessions: MqttClient[] }[] = [];
    for (let i = 0; i < DEVICES; i += 1) {
      const device = await app.registerDevice(`cut-${i}`);
      fleet.push({ device, sessions: await Promise.all(SUFFIXES.map((suffix) => connectAs(device, device.id + suffix))) });
    }
    const times: number[] = [];
    for (const { device, sessions } of fleet) {
      const ordered = performance.now();
      const ends = sessions.map((client) => new Promise<void>((resolve) => client.once('close', () => {
        times.push(performance.now() - ordered);
        resolve();
      })));
      expect((await order(device, 'suspend')).confirmed).toBe(true);
      await within(Promise.all(ends), 'the end of all sessions');
    }
    times.sort((x, y) => x - y);
    const at = (share: number): string => `${Math.round(times[Math.ceil(times.length * share) - 1] ?? 0)} ms`;
    process.stdout.write(`suspend to closed socket, ${times.length} sessions: p50 ${at(0.5)}, p99 ${at(0.99)}, longest ${at(1)}\n`);
    expect(times).toHaveLength(DEVICES * SUFFIXES.length);
    await expect(connectAs(fleet[0]?.device as RegisteredDevice)).rejects.toThrow(/Not authorized|closed/i);
  }, 60_000);

  it.each([
    ['suspend', ':late'],
    ['suspend', ''],
    ['quarantine', ':late'],
  ])('by %s cuts a CONNECT that was under way under the client id with "%s" as well, by the second look', async (verb, suffix) => {
    const device = await app.registerDevice(`late-${verb}${suffix.replace(':', '-')}`);
    callbacks.hold();
    const late = connectAs(device, device.id + suffix).catch(() => null);
    // The door has allowed it; the broker does not know yet.
    await until('the answer is on its way', () => callbacks.holding > 0);
    expect((await order(device, verb)).confirmed).toBe(true);
    callbacks.release();
    const client = await late;
    // Only a ban of the very client id can have kept it out; under another one it is in.
    expect(client === null).toBe(suffix === '');
    await makeDue();
    if (client !== null) await closed(client);
    await until('the broker has forgotten it', async () => (await control.find(device.id)).length === 0);
  }, 30_000);
});
