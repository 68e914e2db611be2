import { Inject, Injectable } from '@nestjs/common';
import { connect, type IClientOptions, type IPublishPacket, type MqttClient } from 'mqtt';
import { GatewayAccount, type GatewayLogin } from '../lifecycle/gateway-account.js';
import { CONFIG, type Config } from '../platform/config/config.js';
import { logger } from '../platform/telemetry/logger.js';
import { CommandDispatcher } from './command-dispatcher.js';
import { GatewayPublisher } from './gateway-publisher.js';
import { MessageIntake } from './message-intake.js';
import { UPWARD_CHANNELS } from './message-topic.js';
import type { IncomingMessage, SigningProperties } from './signed-message.js';

export interface GatewayBroker {
  /** `mqtt://…` of the broker. */
  readonly url: string;
  /** Of MQTT. With 3.1.1, as the embedded broker speaks it, there are no shared subscriptions. */
  readonly version: '5' | '3.1.1';
}

/** Each takes one message at a time, so this many are in flight; the rest waits at the broker. Four were a third as fast. */
const SUBSCRIBERS = 16;
/** Messages of QoS 0 in flight; more are dropped, as nobody waits for their acknowledgement. */
const MAX_UNACKNOWLEDGED = 500;
const RETRY_FIRST_MS = 100;
const RETRY_MOST_MS = 2_000;
const RECONNECT_MS = 1_000;
/** What the broker keeps for an instance that is away (MQTT 5). */
const SESSION_EXPIRY_S = 3_600;

/**
 * The clients that hear what devices say. They keep persistent sessions, so that what was published while no instance ran is not
 * lost, and acknowledge a message only when it was dealt with. The connection that publishes is another one: a client that holds an
 * acknowledgement back does not see those of what it publishes.
 */
@Injectable()
export class MessageGateway {
  private readonly subscribers: MqttClient[] = [];
  private readonly waits = new Set<() => void>();
  private unacknowledged = 0;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly account: GatewayAccount,
    private readonly intake: MessageIntake,
    private readonly publisher: GatewayPublisher,
    private readonly dispatcher: CommandDispatcher,
  ) {}

  /** Connects and goes on trying by itself; resolves once the account is there, not once the broker is. */
  async start(broker: GatewayBroker): Promise<void> {
    const login = await this.account.ensure();
    const { gatewayId } = this.config.messages;
    const options: IClientOptions = {
      username: login.username,
      password: login.password,
      protocolVersion: broker.version === '5' ? 5 : 4,
      keepalive: 30,
      reconnectPeriod: RECONNECT_MS,
    };
    this.publisher.open(broker.url, { ...options, clientId: `${login.username}:gw-${gatewayId}-p` });
    const filters = this.filtersOf(broker, login);
    filters.forEach((subscribed, index) => {
      this.subscribe(broker.url, { ...options, clientId: `${login.username}:gw-${gatewayId}-${index}` }, subscribed);
    });
    this.dispatcher.start();
  }

  async stop(): Promise<void> {
    this.dispatcher.stop();
    const clients = this.subscribers.splice(0);
    for (const wake of this.waits) wake();
    // Forced: a message that is held back stays the broker's, to be delivered again.
    await Promise.all(clients.map((client) => client.endAsync(true)));
    await this.publisher.close();
  }

  /** One list of filters for each connection. */
  private filtersOf({ version }: GatewayBroker, { shareGroup }: GatewayLogin): string[][] {
    const filters = UPWARD_CHANNELS.map((channel) => `${this.config.mqtt.topicPrefix}/+/${channel}`);
    // Without shared subscriptions every connection would be given every message: each takes a channel.
    if (version === '3.1.1') return filters.map((filter) => [filter]);
    const shared = filters.map((filter) => `$share/${shareGroup}/${filter}`);
    return Array.from({ length: SUBSCRIBERS }, () => shared);
  }

  private subscribe(url: string, options: IClientOptions, filters: string[]): void {
    const client = connect(url, {
      ...options,
      clean: false,
      resubscribe: false,
      ...(options.protocolVersion === 5 ? { properties: { sessionExpiryInterval: SESSION_EXPIRY_S, receiveMaximum: 20 } } : {}),
    });
    this.subscribers.push(client);
    // Called before the acknowledgement is sent, which waits for the callback; mqtt.js takes one packet after another.
    client.handleMessage = (packet, callback) => this.hear(client, packet, callback);
    client.on('error', (error) => {
      if (speaksNoMqtt5(error)) logger.error({ url }, 'the broker speaks no MQTT 5: set MQTT_VERSION=3.1.1 (for one gateway, without the opaque form)');
      else logger.warn({ err: error.message }, 'a connection of the message gateway failed');
    });
    client.on('connect', () => this.askFor(client, filters));
  }

  /** Each time anew: whether the broker kept the session is not known for sure. */
  private askFor(client: MqttClient, filters: string[]): void {
    client.subscribe(filters, { qos: 1 }, (error, _granted, packet) => {
      const refused = packet?.granted.some((code) => Number(code) >= 128) ?? false;
      // A connection that broke meanwhile is made anew by the client itself, and this is asked again.
      if ((!error && !refused) || !client.connected || !this.subscribers.includes(client)) return;
      logger.error({ err: error?.message, filters }, 'the broker refuses the subscriptions of the message gateway');
      setTimeout(() => {
        if (client.connected && this.subscribers.includes(client)) this.askFor(client, filters);
      }, RETRY_MOST_MS).unref();
    });
  }

  private hear(client: MqttClient, packet: IPublishPacket, callback: (error?: Error) => void): void {
    if (packet.qos > 0) {
      void this.deal(client, packet).then((dealt) => {
        if (dealt) callback();
      });
      return;
    }
    callback();
    if (this.unacknowledged >= MAX_UNACKNOWLEDGED) return;
    this.unacknowledged += 1;
    void this.intake
      .take(incomingOf(packet), { retained: packet.retain, duplicate: false, again: false })
      .finally(() => (this.unacknowledged -= 1));
  }

  /** Until it is decided, or we stop; when it has become too old in the meantime the gap is recorded, and that is decided too. */
  private async deal(client: MqttClient, packet: IPublishPacket): Promise<boolean> {
    const incoming = incomingOf(packet);
    const arrival = { retained: packet.retain, duplicate: packet.dup };
    let wait = RETRY_FIRST_MS;
    for (let again = false; this.subscribers.includes(client); again = true) {
      if ((await this.intake.take(incoming, { ...arrival, again })) !== 'later') return true;
      await this.pause(wait);
      wait = Math.min(wait * 2, RETRY_MOST_MS);
    }
    return false;
  }

  private pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.waits.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      this.waits.add(wake);
    });
  }
}

/** CONNACK of MQTT 5 (§3.2.2.2) and 3.1.1 (§3.2.2.3): unacceptable protocol version. */
function speaksNoMqtt5(error: Error): boolean {
  const code = 'code' in error ? error.code : undefined;
  return code === 0x84 || code === 0x01;
}

function incomingOf({ topic, payload, properties }: IPublishPacket): IncomingMessage {
  const bytes = typeof payload === 'string' ? Buffer.from(payload, 'utf8') : payload;
  const signing = signingProperties(properties?.userProperties);
  return { topic, payload: bytes, ...(signing ? { properties: signing } : {}) };
}

/** A property that stands twice is none that we know. */
function signingProperties(given: Readonly<Record<string, string | string[]>> | undefined): SigningProperties | undefined {
  if (given === undefined) return undefined;
  const found: Record<string, string> = {};
  for (const name of ['ts', 'nonce', 'sig']) {
    const value = given[name];
    if (value !== undefined) found[name] = typeof value === 'string' ? value : '';
  }
  return Object.keys(found).length === 0 ? undefined : found;
}
