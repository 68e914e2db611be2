import net from 'node:net';
import mqtt from 'mqtt';
import type { IClientOptions, IPublishPacket, ISubscriptionGrant, MqttClient } from 'mqtt';

/** A message as a subscriber saw it. */
export interface Received {
  readonly topic: string;
  readonly payload: string;
  readonly retain: boolean;
}

/** A real MQTT 3.1.1 client with promises in place of events. */
export class TestClient {
  readonly received: Received[] = [];
  /** Resolves when the connection is gone. */
  readonly closed: Promise<void>;
  private waiting: (() => void)[] = [];

  private constructor(
    readonly mqtt: MqttClient,
    readonly sessionPresent: boolean,
  ) {
    this.closed = new Promise((resolve) => mqtt.once('close', () => resolve()));
    mqtt.on('error', () => undefined);
  }

  /** Rejects with the CONNACK return code as `code`. */
  static connect(port: number, options: IClientOptions): Promise<TestClient> {
    const early: IPublishPacket[] = [];
    const client = mqtt.connect({ host: '127.0.0.1', port, protocolVersion: 4, reconnectPeriod: 0, ...options });
    const keep = (_topic: string, _payload: Buffer, packet: IPublishPacket): void => void early.push(packet);
    client.on('message', keep);
    return new Promise((resolve, reject) => {
      client.once('connect', (connack) => {
        const self = new TestClient(client, connack.sessionPresent);
        client.off('message', keep);
        early.forEach((packet) => self.take(packet));
        client.on('message', (_topic, _payload, packet) => self.take(packet));
        resolve(self);
      });
      client.once('error', (error) => {
        client.end(true);
        reject(error);
      });
      client.once('close', () => reject(new Error('closed without CONNACK')));
    });
  }

  /** The granted QoS, or 128, for each filter in order. */
  async subscribe(filters: readonly string[], qos: 0 | 1 | 2 = 1): Promise<number[]> {
    return new Promise((resolve, reject) => {
      this.mqtt.subscribe([...filters], { qos }, (error, granted, packet) => {
        // mqtt.js turns any 128 into an error and still hands over the packet.
        const codes = packet?.granted as number[] | undefined;
        if (codes) resolve(codes);
        else if (error) reject(error);
        else resolve((granted as ISubscriptionGrant[]).map((grant) => grant.qos));
      });
    });
  }

  /** Resolves with the acknowledgement (QoS 1 and 2) or once written (QoS 0). */
  async publish(topic: string, payload: string, options: { qos?: 0 | 1 | 2; retain?: boolean } = {}): Promise<void> {
    await this.mqtt.publishAsync(topic, payload, { qos: options.qos ?? 1, retain: options.retain ?? false });
  }

  /** The first message that passes `test`, past ones included. */
  async next(test: (message: Received) => boolean): Promise<Received> {
    for (;;) {
      const found = this.received.find(test);
      if (found) return found;
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
  }

  /** A clean DISCONNECT. */
  async end(): Promise<void> {
    await this.mqtt.endAsync();
  }

  /** The connection breaks off without a DISCONNECT. */
  async breakOff(): Promise<void> {
    this.mqtt.stream.destroy();
    await this.closed;
  }

  private take(packet: IPublishPacket): void {
    this.received.push({ topic: packet.topic, payload: packet.payload.toString(), retain: packet.retain });
    const waiting = this.waiting;
    this.waiting = [];
    waiting.forEach((wake) => wake());
  }
}

/** Bytes on a bare socket, for what a decent client would not send. */
export class RawClient {
  readonly bytes: Buffer[] = [];
  readonly closed: Promise<void>;

  private constructor(readonly socket: net.Socket) {
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => this.bytes.push(chunk));
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
  }

  static connect(port: number): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = net.connect(port, '127.0.0.1', () => resolve(new RawClient(socket)));
      socket.once('error', reject);
    });
  }

  /** Everything received so far. */
  get answer(): Buffer {
    return Buffer.concat(this.bytes);
  }

  async firstBytes(count: number): Promise<Buffer> {
    while (this.answer.length < count) await new Promise((resolve) => this.socket.once('data', resolve));
    return this.answer.subarray(0, count);
  }
}

function field(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
}

/** An MQTT packet: type and flags in `first`, then the length, then `body`. */
export function packet(first: number, body: Buffer): Buffer {
  const length: number[] = [];
  let rest = body.length;
  do {
    length.push((rest % 128) | (rest >= 128 ? 0x80 : 0));
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return Buffer.concat([Buffer.from([first, ...length]), body]);
}

/** A CONNECT of MQTT 3.1.1 (or 3.1) with user name and password. */
export function connectPacket(fields: {
  clientId: string;
  username?: string;
  password?: Buffer;
  clean?: boolean;
  level?: 3 | 4;
}): Buffer {
  const { clientId, username, password, clean = true, level = 4 } = fields;
  const flags = (username === undefined ? 0 : 0x80) | (password === undefined ? 0 : 0x40) | (clean ? 0x02 : 0);
  const parts = [
    field(level === 3 ? 'MQIsdp' : 'MQTT'),
    Buffer.from([level, flags, 0, 0]),
    field(clientId),
    ...(username === undefined ? [] : [field(username)]),
    ...(password === undefined ? [] : [field(password)]),
  ];
  return packet(0x10, Buffer.concat(parts));
}

/** A PUBLISH; `id` for QoS 1 and 2. */
export function publishPacket(topic: string, payload: string | Buffer, qos: 0 | 1 | 2 = 0, id = 1): Buffer {
  const packetId = qos === 0 ? Buffer.alloc(0) : Buffer.from([id >> 8, id & 0xff]);
  return packet(0x30 | (qos << 1), Buffer.concat([field(topic), packetId, Buffer.from(payload)]));
}
