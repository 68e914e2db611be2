import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { createApp } from '../../src/app.js';
import { BootstrapService } from '../../src/auth/bootstrap.service.js';
import { BrokerDoor } from '../../src/broker/door.js';
import { EmbeddedBroker } from '../../src/embedded/broker.js';
import type { SecureOptions } from '../../src/embedded/broker-types.js';
import { EmbeddedControl } from '../../src/embedded/embedded-control.js';
import type { BrokerControl } from '../../src/lifecycle/broker-control.js';
import { CertificatesService } from '../../src/pki/certificates.service.js';
import { PublicationsService } from '../../src/pki/publications.service.js';
import { TenantsService } from '../../src/users/tenants.service.js';
import { MessageGateway } from '../../src/messages/message-gateway.js';
import { SystemClock, type Clock } from '../../src/platform/clock/clock.js';
import type { Config } from '../../src/platform/config/config.js';
import type { KeyValueStore } from '../../src/platform/redis/key-value.js';
import { MemoryStore } from '../../src/platform/redis/memory-store.js';
import { logger } from '../../src/platform/telemetry/logger.js';
import { cloneDatabase, type TestDatabase } from './database.js';
import { testConfig } from './room.js';

export const ADMIN = { email: 'admin@example.test', password: 'correct horse battery staple' };

export interface TestAppOptions {
  readonly env?: Record<string, string>;
  /** Another instance on the database of an earlier one; the caller drops it. */
  readonly database?: TestDatabase;
  /** Secrets of an earlier instance, for a second one beside it. */
  readonly config?: Config;
  readonly store?: KeyValueStore;
  readonly clock?: Clock;
  /** Another broker than the embedded one. */
  readonly control?: BrokerControl;
  /** Also open the embedded broker. */
  readonly broker?: boolean;
  /** With its TLS listeners. */
  readonly secure?: boolean;
  /** And let the message gateway listen there. */
  readonly gateway?: boolean;
}

export interface Reply<T = Record<string, unknown>> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: T;
}

/** A whole installation in this process: REST and callbacks on free ports, over a private database. */
export class TestApp {
  private constructor(
    readonly app: NestFastifyApplication,
    readonly config: Config,
    readonly database: TestDatabase,
    readonly url: string,
    readonly internalPort: number,
    readonly broker: EmbeddedBroker | undefined,
    readonly adminToken: string,
    private readonly ownsDatabase: boolean,
  ) {}

  static async start(options: TestAppOptions = {}): Promise<TestApp> {
    logger.level = process.env['LOG_LEVEL'] ?? 'silent';
    const database = options.database ?? (await cloneDatabase());
    const base = options.config
      ?? testConfig(database, { ADMIN_EMAIL: ADMIN.email, ADMIN_PASSWORD: ADMIN.password, ...options.env });
    // Port 0: whatever is free.
    const config: Config = { ...base, http: { ...base.http, port: 0 }, internal: { ...base.internal, port: 0 } };
    const clock = options.clock ?? new SystemClock();
    const embedded = new EmbeddedControl();
    const control = options.control ?? embedded;
    const app = await createApp({ config, store: options.store ?? new MemoryStore({ clock }), brokerControl: control, clock });
    await app.init();
    await app.get(BootstrapService).ensureFirstAdmin();
    const door = app.get(BrokerDoor);
    await door.open();
    await app.listen(0, '127.0.0.1');
    const url = (await app.getUrl()).replace('[::1]', '127.0.0.1');
    let broker: EmbeddedBroker | undefined;
    if (options.broker) {
      broker = await EmbeddedBroker.start({
        host: '127.0.0.1',
        port: 0,
        callbackUrl: `http://127.0.0.1:${door.port}`,
        internalSecret: config.internal.secrets[0] ?? '',
        ...(options.secure ? { secure: await secureOptions(app) } : {}),
        logger,
      });
      embedded.attach(broker);
      if (options.gateway) await app.get(MessageGateway).start({ url: `mqtt://127.0.0.1:${broker.port}`, version: '3.1.1' });
    }
    const login = await request<{ access_token: string }>(`${url}/api/v1/auth/login`, 'POST', {}, ADMIN);
    if (login.status !== 200) throw new Error(`the admin cannot log in: ${login.status} ${JSON.stringify(login.body)}`);
    return new TestApp(app, config, database, url, door.port, broker, login.body.access_token, options.database === undefined);
  }

  async stop(): Promise<void> {
    await this.app.get(MessageGateway).stop();
    await this.broker?.stop();
    await this.app.close();
    if (this.ownsDatabase) await this.database.drop();
  }

  /** A REST call below `/api/v1`, as the first admin unless headers say otherwise. */
  call<T = Record<string, unknown>>(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Reply<T>> {
    return request<T>(`${this.url}/api/v1${path}`, method, headers ?? { authorization: `Bearer ${this.adminToken}` }, body);
  }

  /** Logs a person in and answers the bearer header. */
  async loginAs(email: string, password: string): Promise<Record<string, string>> {
    const { body } = await this.call<{ access_token: string }>('POST', '/auth/login', { email, password }, {});
    return { authorization: `Bearer ${body.access_token}` };
  }

  /** Registers a device and answers all that it was given. */
  async registerDevice(slug: string, more: Record<string, unknown> = {}): Promise<RegisteredDevice> {
    const { status, body } = await this.call<RegisteredDevice>('POST', '/devices', { slug, ...more });
    if (status !== 201) throw new Error(`registration failed: ${status} ${JSON.stringify(body)}`);
    return body;
  }

  /** Asks a callback as the broker does. */
  ask(door: 'mqtt-auth' | 'mqtt-acl', question: Record<string, unknown>): Promise<Reply<Answer>> {
    return request<Answer>(`http://127.0.0.1:${this.internalPort}/api/v1/internal/${door}`, 'POST', {
      'x-internal-auth': this.config.internal.secrets[0] ?? '',
    }, question);
  }
}

export interface RegisteredDevice {
  readonly id: string;
  readonly slug: string;
  readonly status: string;
  readonly client_secret: string;
  readonly access_token: string;
  readonly hmac_secret: string;
  readonly mqtt: { readonly topics: { readonly publish: string[]; readonly subscribe: string[] } };
}

export interface Answer {
  readonly result: string;
  readonly is_superuser?: boolean;
  readonly expire_at?: number;
  readonly acl?: { permission: string; action: string; topics: string[] }[];
  readonly client_attrs?: Record<string, string>;
}

/** One request; the body is parsed where it is JSON. */
export async function request<T>(url: string, method: string, headers: Record<string, string>, body?: unknown): Promise<Reply<T>> {
  const response = await fetch(url, {
    method,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const parsed: unknown = /json/.test(response.headers.get('content-type') ?? '') && text !== '' ? JSON.parse(text.includes('\n{') ? '{}' : text) : text;
  return { status: response.status, headers: response.headers, body: parsed as T };
}

async function secureOptions(app: NestFastifyApplication): Promise<SecureOptions> {
  const publications = app.get(PublicationsService);
  const tenantId = await app.get(TenantsService).defaultTenantId();
  const own = await app.get(CertificatesService).issueServer(tenantId, [{ dns: 'localhost' }, { ip: '127.0.0.1' }]);
  return {
    host: '127.0.0.1',
    mtlsPort: 0,
    tokenPort: 0,
    certificate: own.certificate + own.chain,
    key: own.privateKey ?? '',
    trusted: () => publications.trusted(),
  };
}
