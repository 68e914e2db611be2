import { connect, type IClientOptions, type MqttClient } from 'mqtt';

export interface Connected {
  readonly client: MqttClient;
  readonly received: { topic: string; payload: string }[];
}

const WITHIN_MS = 5_000;

/** Rejects instead of hanging; no test waits longer than this for anything. */
export async function within<T>(promise: Promise<T>, what: string, ms = WITHIN_MS): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not happen within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/** Connects once (no reconnects) with MQTT 3.1.1; rejects with the broker's refusal. */
export async function mqttConnect(port: number, options: IClientOptions): Promise<Connected> {
  const client = connect({ host: '127.0.0.1', port, protocol: 'mqtt', protocolVersion: 4, reconnectPeriod: 0, connectTimeout: WITHIN_MS, ...options });
  const received: { topic: string; payload: string }[] = [];
  client.on('message', (topic, payload) => received.push({ topic, payload: payload.toString('utf8') }));
  const outcome = await within(
    Promise.race([
      new Promise<'connected'>((resolve) => client.once('connect', () => resolve('connected'))),
      new Promise<Error>((resolve) => client.once('error', resolve)),
      new Promise<Error>((resolve) => client.once('close', () => resolve(new Error('closed')))),
    ]),
    'a CONNECT',
  );
  if (outcome === 'connected') {
    client.on('error', () => undefined);
    return { client, received };
  }
  client.end(true);
  throw outcome;
}

/** QoS granted for one filter; 128 when it was refused. */
export async function subscribeTo(client: MqttClient, filter: string, qos: 0 | 1 | 2 = 1): Promise<number> {
  return within(
    new Promise<number>((resolve, reject) => {
      client.subscribe(filter, { qos }, (error, _, packet) => {
        const code = packet?.granted[0];
        if (code === undefined) reject(error ?? new Error('no answer to SUBSCRIBE'));
        else resolve(Number(code));
      });
    }),
    `SUBSCRIBE ${filter}`,
  );
}

/** Resolves with the broker's acknowledgement. */
export async function publishTo(client: MqttClient, topic: string, payload: string, options: { qos?: 0 | 1 | 2; retain?: boolean } = {}): Promise<void> {
  await within(client.publishAsync(topic, payload, { qos: options.qos ?? 1, retain: options.retain ?? false }).then(() => undefined), `PUBLISH ${topic}`);
}

/** Resolves when the connection has gone. */
export async function closed(client: MqttClient): Promise<void> {
  if (client.connected) await within(new Promise<void>((resolve) => client.once('close', () => resolve())), 'the end of a connection');
}

export function endAll(clients: readonly Connected[]): void {
  for (const { client } of clients) client.end(true);
}
