import type { IClientOptions } from 'mqtt';
import { EmbeddedBroker } from '../../src/embedded/broker.js';
import type { BrokerOptions, DeniedPublish } from '../../src/embedded/broker-types.js';
import { TestClient } from './mqtt-client.js';
import { ScriptedCallbacks } from './scripted-callbacks.js';

export const DEVICE = '7f3d6f8e-6f0e-4f3a-9d35-0d8d5a1b2c3d';
/** What a device is granted unless a test says otherwise. */
export const ACL = [
  { permission: 'allow', action: 'publish', topics: [`devices/${DEVICE}/telemetry`, `devices/${DEVICE}/status`] },
  { permission: 'allow', action: 'subscribe', topics: [`devices/${DEVICE}/commands`, `devices/${DEVICE}/config/#`] },
];
const ATTRS = { tenant: 't1', device: DEVICE, status: 'ACTIVE', cred: 'c1', ver: '7' };
const WATCHER = { permission: 'allow', action: 'all', topics: ['#'] };

/** The embedded broker in front of a scripted callback server, and clients that are put away after each test. */
export class BrokerBench {
  callbacks!: ScriptedCallbacks;
  broker!: EmbeddedBroker;
  denied: DeniedPublish[] = [];
  /** Messages of warnings and errors. */
  log: string[] = [];
  readonly opened: TestClient[] = [];

  /** Devices get the device's list, the client `watcher` sees everything, the ACL callback denies. */
  async open(): Promise<void> {
    this.denied = [];
    this.log = [];
    this.callbacks = await ScriptedCallbacks.start();
    this.callbacks.onAuth = ({ clientid }) => ({
      json: { result: 'allow', acl: clientid === 'watcher' ? [WATCHER] : ACL, client_attrs: ATTRS },
    });
    this.broker = await this.startBroker();
  }

  async close(): Promise<void> {
    for (const client of this.opened.splice(0)) client.mqtt.end(true);
    await this.broker.stop();
    await this.callbacks.stop();
  }

  async startBroker(options: Partial<BrokerOptions> = {}): Promise<EmbeddedBroker> {
    const nothing = (): void => undefined;
    const note = (_fields: object, message: string): void => void this.log.push(message);
    return EmbeddedBroker.start({
      host: '127.0.0.1',
      port: 0,
      callbackUrl: this.callbacks.url,
      internalSecret: 'the-internal-secret',
      logger: { debug: nothing, info: nothing, warn: note, error: note },
      deniedPublishSink: (one) => this.denied.push(one),
      ...options,
    });
  }

  /** Puts a broker with other options in the place of the one each test begins with. */
  async restart(options: Partial<BrokerOptions>): Promise<void> {
    await this.broker.stop();
    this.broker = await this.startBroker(options);
  }

  async connect(clientId: string, options: IClientOptions = {}): Promise<TestClient> {
    const given = { clientId, username: DEVICE, password: 'pcs_secret', ...options };
    const client = await TestClient.connect(this.broker.port, given);
    this.opened.push(client);
    return client;
  }

  /** The CONNACK return code, or `accepted`. */
  async refusalOf(clientId: string, options: IClientOptions = {}): Promise<unknown> {
    return this.connect(clientId, options).then(
      () => 'accepted',
      (error: { code?: unknown }) => error.code,
    );
  }

  /** A client that receives every message. */
  async watch(): Promise<TestClient> {
    const watcher = await this.connect('watcher');
    await watcher.subscribe(['#']);
    return watcher;
  }

  /** Resolves once everything published so far has passed through the broker to `watcher`. */
  async settled(watcher: TestClient): Promise<void> {
    const mark = `mark-${watcher.received.length}-${Math.random()}`;
    await watcher.publish('marks', mark);
    await watcher.next((message) => message.payload === mark);
  }

  /** Resolves when `holds` does; the test's own time limit ends it otherwise. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise(setImmediate);
  }
}

/** A fresh bench for each test of the file. */
export function useBrokerBench(): BrokerBench {
  const bench = new BrokerBench();
  beforeEach(() => bench.open());
  afterEach(() => bench.close());
  return bench;
}
