import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { connect, type MqttClient } from 'mqtt';
import { createHash } from 'node:crypto';
import { MessageGateway } from '../../src/messages/message-gateway.js';
import { sign, signingInput } from '../../src/messages/signed-message.js';
import { KeyValueStore } from '../../src/platform/redis/key-value.js';
import { TestApp, type RegisteredDevice } from '../factories/app.js';
import { nonce, signedBy, topicOf } from '../factories/signing-device.js';

const MOSQUITTO = ['/usr/sbin/mosquitto', '/usr/local/sbin/mosquitto', '/opt/homebrew/sbin/mosquitto'].find((file) => existsSync(file));

/** Mosquitto stands for brokers with MQTT 5 and shared subscriptions; who may do what is not its business here. */
(MOSQUITTO || process.env['CI'] === 'true' ? describe : describe.skip)('signed traffic through two gateways on Mosquitto', () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'pc-mosquitto-'));
  let broker: ChildProcess;
  let url: string;
  let first: TestApp;
  let second: TestApp;
  let device: RegisteredDevice;
  let client: MqttClient;
  const heard: { topic: string; payload: Buffer; properties: Record<string, unknown> }[] = [];

  beforeAll(async () => {
    const port = await freePort();
    writeFileSync(path.join(folder, 'mosquitto.conf'), `listener ${port} 127.0.0.1\nallow_anonymous true\n`);
    broker = spawn(MOSQUITTO ?? 'mosquitto', ['-c', path.join(folder, 'mosquitto.conf')], { stdio: 'ignore' });
    url = `mqtt://127.0.0.1:${port}`;
    first = await TestApp.start({ env: { GATEWAY_ID: 'one' } });
    const messages = { ...first.config.messages, gatewayId: 'two' };
    second = await TestApp.start({ database: first.database, config: { ...first.config, messages }, store: storeOf(first) });
    for (const app of [first, second]) await app.app.get(MessageGateway).start({ url, version: '5' });
    device = await first.registerDevice('signer', { credentials: ['hmac'] });
    client = connect(url, { protocolVersion: 5 });
    client.on('message', (topic, payload, packet) => heard.push({ topic, payload, properties: { ...packet.properties?.userProperties } }));
    await client.subscribeAsync('verified/#', { qos: 1 });
    // A message that nobody subscribes to yet is lost: one is repeated until the gateways are there.
    await eventually(async () => {
      const text = signedBy(device, 'telemetry', { data: 'are you there' });
      await client.publishAsync(topicOf(device, 'telemetry'), text, { qos: 1 });
      await new Promise((resolve) => setTimeout(resolve, 100));
      return heard.length > 0;
    });
    heard.length = 0;
  });

  afterAll(async () => {
    client.end(true);
    await second.stop();
    await first.stop();
    broker.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });

  it('shares the load: each message is handed on once, not once by each', async () => {
    const texts = Array.from({ length: 60 }, (_, count) => signedBy(device, 'events/count', { data: count }));
    for (const text of texts) await client.publishAsync(topicOf(device, 'events/count'), text, { qos: 1 });
    await eventually(async () => texts.every((text) => heard.some(({ payload }) => payload.toString() === text)));
    expect(heard.filter(({ topic }) => topic.endsWith('events/count'))).toHaveLength(60);
  });

  it('verifies opaque payloads by their user properties and hands both on', async () => {
    const payload = Buffer.from([0, 1, 2, 253, 254, 255]);
    const topic = topicOf(device, 'telemetry');
    const ts = Date.now();
    const once = nonce();
    const input = signingInput(topic, { ts }, once, createHash('sha256').update(payload).digest('hex'));
    const userProperties = { ts: String(ts), nonce: once, sig: sign(Buffer.from(device.hmac_secret, 'hex'), input) };
    await client.publishAsync(topic, Buffer.concat([payload, payload]), { qos: 1, properties: { userProperties } });
    await client.publishAsync(topic, payload, { qos: 1, properties: { userProperties } });
    await eventually(async () => heard.some((message) => message.payload.equals(payload)));
    expect(heard.find((message) => message.payload.equals(payload))?.properties).toEqual(userProperties);
    expect(heard.some((message) => message.payload.length === 12)).toBe(false);
  });
});

/** Both instances keep nonces in one place, as over one Redis. */
function storeOf(app: TestApp): KeyValueStore {
  return app.app.get(KeyValueStore);
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as net.AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

async function eventually(holds: () => Promise<boolean>, ms = 10_000): Promise<void> {
  const end = Date.now() + ms;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`it did not happen within ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
