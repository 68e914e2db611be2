import { randomInt } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt';
import type { RegisteredDevice } from '../factories/app.js';
import { cloneDatabase, type TestDatabase } from '../factories/database.js';
import { signedBy, topicOf } from '../factories/signing-device.js';
import { SoakFleet } from '../factories/soak-fleet.js';
import { until } from '../factories/until.js';
import { BrokerProcess, MOSQUITTO } from '../fakes/broker-process.js';
import { freePorts } from '../fakes/installation.js';
import { ServerProcess } from '../fakes/server-process.js';

const LONG = process.env['PORTCULLIS_LONG'] === '1';
const DEVICES = LONG ? 50 : 8;
const KILLS = LONG ? 10 : 2;
const INTERVAL_MS = LONG ? 500 : 200;
const REDIS_URL = process.env['TEST_REDIS_URL'] ?? '';
const IN_CI = process.env['CI'] === 'true';

/** `portcullis broker`, which speaks MQTT 3.1.1, or Mosquitto, which stands for brokers with MQTT 5 and shared subscriptions. */
type Kind = 'embedded' | 'mosquitto';

/** Everything of one run, to be taken down in reverse. */
class Scene {
  readonly copies: { topic: string; payload: string }[] = [];
  private readonly ends: (() => unknown)[] = [];

  private constructor(
    readonly server: ServerProcess,
    readonly url: string,
  ) {}

  static async open(kind: Kind, env: Record<string, string>): Promise<Scene> {
    const database: TestDatabase = await cloneDatabase();
    const { mqtt } = await freePorts();
    const url = `mqtt://127.0.0.1:${mqtt}`;
    const version = kind === 'embedded' ? '3.1.1' : '5';
    const server = await ServerProcess.prepare(database, { MQTT_URL: url, MQTT_VERSION: version, ...env });
    const scene = new Scene(server, url);
    scene.ends.push(() => database.drop(), () => server.remove());
    const broker = await (kind === 'embedded' ? BrokerProcess.embedded(mqtt, server.ports.internal, server.secret) : BrokerProcess.mosquitto(mqtt));
    scene.ends.push(() => broker.remove());
    await server.start();
    await server.login();
    await scene.listen();
    return scene;
  }

  /** What a message of the device says when the gateway has taken up its subscriptions. */
  async awaitGateway(device: RegisteredDevice, client: MqttClient): Promise<void> {
    await until('the gateway', async () => {
      await client.publishAsync(topicOf(device, 'telemetry'), signedBy(device, 'telemetry', { data: 'are you there' }), { qos: 1 });
      await pause(100);
      return this.copies.length > 0;
    });
  }

  async connect(device: RegisteredDevice): Promise<MqttClient> {
    return this.client({ clientId: `${device.id}:probe`, username: device.id, password: device.client_secret });
  }

  /** How many rows the audit log has of an event (of a hundred at most). */
  async audited(eventType: string): Promise<number> {
    const { body } = await this.server.call<{ items: object[] }>('GET', `/audit/logs?eventType=${eventType}&limit=100`);
    return body.items.length;
  }

  async close(): Promise<void> {
    for (const end of this.ends.splice(0).reverse()) await end();
  }

  private async listen(): Promise<void> {
    const { server } = this;
    const tenantId = (await server.call<{ tenant: { id: string } }>('GET', '/auth/me')).body.tenant.id;
    const { body } = await server.call<{ id: string; username: string; client_secret: string }>('POST', '/service-accounts', { name: 'reader' });
    await server.call('POST', `/service-accounts/${body.id}/rules`, { action: 'subscribe', topic: `verified/${tenantId}/#` });
    const reader = await this.client({ clientId: body.username, username: body.username, password: body.client_secret });
    reader.on('message', (topic, payload) => this.copies.push({ topic, payload: payload.toString('utf8') }));
    await reader.subscribeAsync(`verified/${tenantId}/#`, { qos: 1 });
  }

  private async client(options: IClientOptions): Promise<MqttClient> {
    const client = await connectAsync(this.url, { protocolVersion: 4, ...options });
    client.on('error', () => undefined);
    this.ends.push(() => client.end(true));
    return client;
  }
}

describe.each<Kind>(['embedded', 'mosquitto'])('the application killed again and again beside a broker that stays up: %s', (kind) => {
  const possible = REDIS_URL !== '' && (kind === 'embedded' || MOSQUITTO !== undefined);

  (possible || IN_CI ? it : it.skip)('loses nothing acknowledged, names nothing twice, counts state once, suspends nobody', async () => {
    const scene = await Scene.open(kind, { REDIS_URL });
    const fleet = new SoakFleet(scene.url, INTERVAL_MS);
    try {
      const { server } = scene;
      const devices: RegisteredDevice[] = [];
      for (let i = 0; i < DEVICES; i += 1) devices.push(await server.registerDevice(`soak-${i}`, { credentials: ['secret', 'hmac'] }));
      await scene.awaitGateway(devices[0]!, await scene.connect(devices[0]!));
      scene.copies.length = 0;
      for (const device of devices) await fleet.join(device);
      const commands: string[] = [];
      for (let round = 0; round < KILLS; round += 1) {
        const before = fleet.acknowledged.size;
        for (const device of devices.filter((_, index) => index % KILLS === round)) {
          const { body } = await server.call<{ id: string }>('POST', `/devices/${device.id}/commands`, { type: 'soak', payload: {}, ttl: 600 });
          commands.push(`/devices/${device.id}/commands/${body.id}`);
        }
        await until('some traffic', () => fleet.acknowledged.size > before + DEVICES);
        await pause(randomInt(0, 2_500));
        await server.kill();
        await pause(randomInt(0, 500));
        await server.start();
        await server.login();
      }
      await fleet.fallSilent();
      const seen = (): Set<string> => new Set(scene.copies.map(({ payload }) => payload));
      await until('every acknowledged message in the verified stream', () => {
        const copies = seen();
        return [...fleet.acknowledged.values()].every((text) => copies.has(text));
      }, 60_000);
      for (const path of commands) {
        await until('the answer to every command', async () => (await server.call<{ status: string }>('GET', path)).body.status === 'ACKED', 60_000);
      }

      const keys = new Map<number, Set<string>>();
      for (const { topic, payload } of scene.copies) {
        const { number, nonce } = JSON.parse(payload) as { number?: number; nonce: string };
        if (number === undefined) continue;
        keys.set(number, (keys.get(number) ?? new Set()).add(`${topic.split('/')[2] ?? ''}:${nonce}`));
      }
      expect([...keys.values()].filter((names) => names.size !== 1)).toEqual([]);
      expect(new Set([...keys.values()].flatMap((names) => [...names])).size).toBe(keys.size);
      expect(fleet.failures).toBe(0);
      for (const device of devices) {
        const { body } = await server.call<{ status: string; reportedStatus: string }>('GET', `/devices/${device.id}`);
        expect(body).toMatchObject({ status: 'ACTIVE', reportedStatus: fleet.reported.get(device.id) });
      }
      expect(await scene.audited('COMMAND_ACKED')).toBe(commands.length);
      expect(await scene.audited('COMMAND_SENT')).toBe(commands.length);
      for (const never of ['MESSAGE_GAP', 'REPLAY_DETECTED', 'HMAC_FAILURE', 'DEVICE_SUSPENDED']) {
        expect({ never, rows: await scene.audited(never) }).toEqual({ never, rows: 0 });
      }
      if (LONG) {
        const repeated = scene.copies.length - seen().size;
        process.stdout.write(`soak: ${JSON.stringify({
          broker: kind, devices: DEVICES, kills: KILLS, acknowledged: fleet.acknowledged.size, copies: scene.copies.length, repeated, commands: commands.length, answers: fleet.answers,
        })}\n`);
      }
    } finally {
      fleet.end();
      await scene.close();
    }
  }, LONG ? 600_000 : 150_000);
});

(MOSQUITTO !== undefined || IN_CI ? describe : describe.skip)('a restart that forgets the nonces, as without Redis', () => {
  it('accepts nothing that is older than the restart, records the gap, and suspends nobody for it', async () => {
    const scene = await Scene.open('mosquitto', {});
    try {
      const { server } = scene;
      const device = await server.registerDevice('before', { credentials: ['secret', 'hmac'] });
      const client = await scene.connect(device);
      await scene.awaitGateway(device, client);
      await server.kill();
      const older = signedBy(device, 'telemetry', { data: 'older than the restart' });
      await client.publishAsync(topicOf(device, 'telemetry'), older, { qos: 1 });
      await server.start();
      await server.login();
      const newer = signedBy(device, 'telemetry', { data: 'after the restart' });
      await client.publishAsync(topicOf(device, 'telemetry'), newer, { qos: 1 });
      await until('the newer message', () => scene.copies.some(({ payload }) => payload === newer));
      await until('the record of the gap', async () => (await scene.audited('MESSAGE_GAP')) === 1);
      expect(scene.copies.filter(({ payload }) => payload === older)).toEqual([]);
      expect((await server.call<{ status: string }>('GET', `/devices/${device.id}`)).body.status).toBe('ACTIVE');
    } finally {
      await scene.close();
    }
  }, 60_000);
});
