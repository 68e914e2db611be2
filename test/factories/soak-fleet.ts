import { setTimeout as pause } from 'node:timers/promises';
import { connectAsync, type MqttClient } from 'mqtt';
import type { JsonObject } from '../../src/messages/canonical-json.js';
import type { RegisteredDevice } from './app.js';
import { signedBy, topicOf } from './signing-device.js';

const STATUSES = ['ONLINE', 'MAINTENANCE', 'ERROR'] as const;

/** Devices that sign what they say, remember what the broker acknowledged, and answer each command whenever they hear it. */
export class SoakFleet {
  /** Number of the message in the fleet → what was sent, once it was acknowledged. */
  readonly acknowledged = new Map<number, string>();
  /** Device → the status of its newest acknowledged report. */
  readonly reported = new Map<string, string>();
  /** Answers that were given, several to one command among them. */
  answers = 0;
  failures = 0;
  private readonly clients: MqttClient[] = [];
  private readonly loops: Promise<void>[] = [];
  private count = 0;
  private running = true;

  /** @param intervalMs between two messages of one device, on average */
  constructor(
    private readonly url: string,
    private readonly intervalMs: number,
  ) {}

  async join(device: RegisteredDevice): Promise<void> {
    const client = await connectAsync(this.url, {
      clientId: device.id,
      username: device.id,
      password: device.client_secret,
      protocolVersion: 4,
    });
    client.on('error', () => undefined);
    client.on('message', (_, payload) => {
      const { cmdId } = JSON.parse(payload.toString('utf8')) as { cmdId: string };
      this.answers += 1;
      void this.say(client, device, 'ack', { cmdId, status: 'ACKED' });
    });
    await client.subscribeAsync(topicOf(device, 'commands'), { qos: 1 });
    this.clients.push(client);
    this.loops.push(this.live(client, device));
  }

  /** Nothing more is said; resolves when everything that was is acknowledged. */
  async fallSilent(): Promise<void> {
    this.running = false;
    await Promise.all(this.loops);
  }

  end(): void {
    this.running = false;
    for (const client of this.clients) client.end(true);
  }

  private async live(client: MqttClient, device: RegisteredDevice): Promise<void> {
    for (let turn = 0; this.running; turn += 1) {
      if (turn % 8 === 0) {
        const status = STATUSES[(turn / 8) % STATUSES.length] ?? 'ONLINE';
        if (await this.say(client, device, 'status', { status })) this.reported.set(device.id, status);
      } else {
        await this.say(client, device, turn % 5 === 0 ? 'events/soak/turn' : 'telemetry', { data: { turn } });
      }
      await pause(this.intervalMs * (0.5 + Math.random()));
    }
  }

  private async say(client: MqttClient, device: RegisteredDevice, channel: string, body: JsonObject): Promise<boolean> {
    const number = (this.count += 1);
    const text = signedBy(device, channel, { ...body, number });
    try {
      await client.publishAsync(topicOf(device, channel), text, { qos: 1 });
    } catch {
      this.failures += 1;
      return false;
    }
    this.acknowledged.set(number, text);
    return true;
  }
}
