import { MessageGateway } from '../../src/messages/message-gateway.js';
import { logger } from '../../src/platform/telemetry/logger.js';
import { TestApp } from '../factories/app.js';
import { mqttConnect, publishTo } from '../factories/mqtt-client.js';
import { signedBy, topicOf } from '../factories/signing-device.js';
import { until } from '../factories/until.js';
import { FakeClock } from '../fakes/fake-clock.js';

/** Of one device, while no time passes. */
const BURST = 300;

describe('the message gateway', () => {
  it('hands on what a device may send, drops and counts the rest, and tells it once', async () => {
    const clock = new FakeClock(Date.now());
    const app = await TestApp.start({ broker: true, gateway: true, clock });
    const device = await app.registerDevice('loud', { credentials: ['secret', 'hmac'] });
    const { client } = await mqttConnect(app.broker?.port ?? 0, { clientId: device.id, username: device.id, password: device.client_secret });
    try {
      const outcomes = async (): Promise<Record<string, number>> => {
        const text = await (await fetch(`http://127.0.0.1:${app.internalPort}/metrics`)).text();
        const lines = [...text.matchAll(/^portcullis_messages_total\{outcome="([a-z_A-Z]+)"\} (\d+)$/gm)];
        return Object.fromEntries(lines.map(([, outcome, count]) => [outcome ?? '', Number(count)]));
      };
      const say = (): Promise<void> => publishTo(client, topicOf(device, 'telemetry'), signedBy(device, 'telemetry', { data: 1 }, { ts: clock.now() }));
      await until('the gateway', async () => {
        await say();
        return Object.keys(await outcomes()).length > 0;
      });
      for (let i = 0; i < BURST + 20; i += 1) await say();
      await until('the excess', async () => ((await outcomes())['dropped'] ?? 0) >= 20);
      expect((await outcomes())['verified']).toBe(BURST);
      clock.advance(1_000);
      await say();
      await until('the next message', async () => (await outcomes())['verified'] === BURST + 1);
      const rows = async () => (await app.call<{ items: { details: Record<string, unknown> }[] }>('GET', `/audit/logs?deviceId=${device.id}&eventType=RATE_LIMITED`)).body.items;
      await until('the record', async () => (await rows()).length > 0);
      expect((await rows()).map(({ details }) => details['reason'])).toEqual(['DEVICE_BUDGET']);
    } finally {
      client.end(true);
      await app.stop();
    }
  });

  it('says which variable to set when the broker speaks no MQTT 5', async () => {
    const app = await TestApp.start({ broker: true });
    const said = jest.spyOn(logger, 'error').mockImplementation(() => undefined);
    try {
      await app.app.get(MessageGateway).start({ url: `mqtt://127.0.0.1:${app.broker?.port ?? 0}`, version: '5' });
      await until('the word', () => said.mock.calls.some((words) => words.join(' ').includes('MQTT_VERSION=3.1.1')));
    } finally {
      said.mockRestore();
      await app.stop();
    }
  });
});
