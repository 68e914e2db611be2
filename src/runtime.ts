import { setFlagsFromString } from 'node:v8';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { createApp, listen } from './app.js';
import { BootstrapService } from './auth/bootstrap.service.js';
import { BrokerDoor } from './broker/door.js';
import { openDeviceListener } from './device-listener.js';
import { EmbeddedBroker } from './embedded/broker.js';
import { brokerIdentity } from './embedded/broker-certificate.js';
import type { SecureOptions } from './embedded/broker-types.js';
import { openDataDirectory } from './embedded/data-directory.js';
import { EmbeddedControl } from './embedded/embedded-control.js';
import { startEmbeddedPostgres } from './embedded/postgres.js';
import { UnmanagedBroker, type BrokerControl } from './lifecycle/broker-control.js';
import { EmqxControl } from './lifecycle/emqx-control.js';
import { CertificatesService } from './pki/certificates.service.js';
import { PublicationsService } from './pki/publications.service.js';
import { TenantsService } from './users/tenants.service.js';
import { MessageGateway } from './messages/message-gateway.js';
import { MIGRATIONS } from './migrations/migrations.js';
import { SystemClock } from './platform/clock/clock.js';
import type { Config } from './platform/config/config.js';
import type { Environment } from './platform/config/environment.js';
import { loadGeneratedSecrets } from './platform/config/generated-secrets.js';
import { dataDirectoryOf, isProduction, readConfig } from './platform/config/read-config.js';
import { InstanceLock } from './platform/database/instance-lock.js';
import { migrate } from './platform/database/migrate.js';
import type { KeyValueStore } from './platform/redis/key-value.js';
import { MemoryStore } from './platform/redis/memory-store.js';
import { RedisStore } from './platform/redis/redis-store.js';
import { logger } from './platform/telemetry/logger.js';

/** A running installation, or the part of it that this process is. */
export interface Runtime {
  readonly config: Config;
  readonly app: NestFastifyApplication;
  /** Where REST, callbacks and MQTT can be reached; `null` for what does not run in this process. */
  readonly addresses: { readonly rest: string | null; readonly internal: number | null; readonly mqtt: number | null };
  /** The first admin, if this start made it. */
  readonly firstAdmin: { readonly email: string; readonly password: string | null } | null;
  stop(): Promise<void>;
}

/** Told when a part that cannot be done without has gone. */
export type Fatal = (error: Error) => void;

/**
 * Starts everything in the order in which it is needed, and stops it in reverse. What fails half-way takes down what was started.
 * @throws one error with one clear sentence (or, for the configuration, one line a variable).
 */
export async function startRuntime(env: Environment, fatal: Fatal): Promise<Runtime> {
  boundHeapGrowth();
  const stops: (() => Promise<void>)[] = [];
  const stop = async (): Promise<void> => {
    for (const step of stops.splice(0).reverse()) {
      await step().catch((error: unknown) => logger.error({ err: error }, 'a part did not stop cleanly'));
    }
  };
  try {
    const { config, embeddedDatabase } = await configure(env, fatal, stops);
    logger.level = config.logLevel;
    await migrate(config.database, MIGRATIONS);
    const lock = await InstanceLock.take(config.database, config.redis.url !== undefined);
    stops.push(() => lock.release());
    const store = await openStore(config);
    stops.push(() => store.close());
    const control = brokerControl(config);
    const app = await createApp({ config, store, brokerControl: control });
    stops.push(() => app.close());
    await app.init();
    const addresses = await openListeners(app, config, control, stops);
    // Last of all: a generated password is told once, and a start that fails tells nothing.
    const firstAdmin = await app.get(BootstrapService).ensureFirstAdmin();
    logger.info({ ...addresses, role: config.role, embeddedDatabase, redis: config.redis.url !== undefined }, 'Portcullis is up');
    return { config, app, addresses, firstAdmin, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function configure(
  env: Environment,
  fatal: Fatal,
  stops: (() => Promise<void>)[],
): Promise<{ config: Config; embeddedDatabase: boolean }> {
  // Production has no data directory: nothing is generated and nothing is embedded.
  if (isProduction(env)) return { config: readConfig(env), embeddedDatabase: false };
  const directory = await openDataDirectory(dataDirectoryOf(env));
  stops.push(() => directory.close());
  const secrets = loadGeneratedSecrets(directory.path);
  // Read once before anything is started, so that a bad variable does not cost a database start.
  const config = readConfig(env, secrets, { databaseUrl: 'postgresql://embedded/portcullis' });
  if (env['DATABASE_URL']) return { config, embeddedDatabase: false };
  const postgres = await startEmbeddedPostgres({
    dataDir: directory.path,
    logger: { log: (message) => logger.debug(message) },
    onExit: fatal,
  });
  stops.push(() => postgres.stop());
  return { config: readConfig(env, secrets, { databaseUrl: postgres.url }), embeddedDatabase: true };
}

/**
 * V8 lets the heap grow to a multiple of what lives in it before it looks for what does not, and what leaves our caches is old by
 * then: with a large fleet the process would take four times the memory that it needs. In the steady state this costs nothing, for
 * the garbage of a question dies young.
 */
function boundHeapGrowth(): void {
  setFlagsFromString('--heap-growing-percent=20');
}

/** Redis where `REDIS_URL` says, else the store of this process. */
export async function openStore(config: Config): Promise<KeyValueStore> {
  const { url } = config.redis;
  if (url === undefined) return new MemoryStore({ clock: new SystemClock() });
  const store = new RedisStore({
    url,
    onEvent: ({ connection, up, reason }) => {
      if (up) logger.info({ connection }, 'Redis is connected');
      else logger.warn({ connection, reason }, 'Redis is gone; Postgres serves until it is back');
    },
  });
  const { problem } = await store.checkEviction();
  if (problem !== null) logger.warn(problem);
  return store;
}

/** Origin of the internal listener; an IPv6 address stands in brackets (RFC 3986 §3.2.2). */
function callbackUrl(host: string, port: number): string {
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** The form of control that fits the broker. */
function brokerControl({ mqtt, role }: Config): BrokerControl {
  // Without the gate there is no embedded broker in this process that could be cut.
  if (mqtt.url === undefined) return role === 'api' ? new UnmanagedBroker() : new EmbeddedControl();
  return mqtt.emqx ? new EmqxControl(mqtt.emqx) : new UnmanagedBroker();
}

async function openListeners(
  app: NestFastifyApplication,
  config: Config,
  control: BrokerControl,
  stops: (() => Promise<void>)[],
): Promise<Runtime['addresses']> {
  let internal: number | null = null;
  let mqtt: number | null = null;
  if (config.role !== 'api') {
    const door = app.get(BrokerDoor);
    await door.open();
    internal = door.port;
  }
  const rest = config.role === 'gate' ? null : await listen(app, config);
  if (rest !== null && config.pki.deviceTlsPort !== undefined) {
    const devices = await openDeviceListener(app, config, config.pki.deviceTlsPort);
    stops.push(() => devices.close());
  }
  if (control instanceof EmbeddedControl && internal !== null) {
    if (config.internal.tls) throw new Error('The embedded broker asks the callbacks over plain HTTP: unset INTERNAL_TLS_*, or set MQTT_URL.');
    const broker = await EmbeddedBroker.start({
      host: '127.0.0.1',
      port: config.mqtt.port,
      callbackUrl: callbackUrl(config.internal.host, internal),
      internalSecret: config.internal.secrets[0] ?? '',
      secure: await secureOptions(app, config),
      logger,
    });
    control.attach(broker);
    // Stopped first of all: clients are told before what answers them goes away.
    stops.push(() => broker.stop());
    mqtt = broker.port;
  }
  if (config.role !== 'api') {
    const gateway = app.get(MessageGateway);
    // It connects by its own door, which is open; without a broker it goes on trying.
    await gateway.start({ url: config.mqtt.url ?? `mqtt://127.0.0.1:${mqtt ?? config.mqtt.port}`, version: config.mqtt.version });
    stops.push(() => gateway.stop());
  }
  return { rest, internal, mqtt };
}

/** TLS of the embedded broker, with a certificate of the installation's own authority. */
async function secureOptions(app: NestFastifyApplication, config: Config): Promise<SecureOptions> {
  const publications = app.get(PublicationsService);
  const certificates = app.get(CertificatesService);
  const tenantId = await app.get(TenantsService).defaultTenantId();
  const root = await publications.root();
  const now = new SystemClock().now();
  const identity = await brokerIdentity(config.dataDir, config.mqtt.publicHost, root, now, (names) => certificates.issueServer(tenantId, names));
  const { mtls, tls } = config.mqtt.external;
  return { host: '127.0.0.1', mtlsPort: mtls, tokenPort: tls, ...identity, trusted: () => publications.trusted() };
}
