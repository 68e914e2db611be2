import { hash } from 'node:crypto';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import path from 'node:path';
import type { Config, MasterKey, TokenProfile } from './config.js';
import type { Environment } from './environment.js';
import { ConfigError, Reader, type SslOptions } from './reader.js';
import { SECRET_VARIABLES, type GeneratedSecrets } from './variables.js';

/** Values seen in samples and tutorials; a secret that contains one of them was copied, not made. */
const SAMPLE_VALUES = /change[-_ ]?me|your[-_ ]?secret|super[-_ ]?secret|example|placeholder|password123|12345678|^(.)\1+$/i;
const MIN_SECRET_LENGTH = 32;
const MAX_PORT = 65_535;

/** The data directory, needed before the rest can be read (it holds generated secrets). */
export function dataDirectoryOf(env: Environment): string {
  return path.resolve(new Reader(env).text('PORTCULLIS_DATA_DIR') ?? '.portcullis');
}

/** Whether stand-ins and generated secrets are allowed at all. */
export function isProduction(env: Environment): boolean {
  return env['NODE_ENV'] === 'production';
}

/**
 * Checks the whole environment and answers a frozen `Config`.
 * `generated` fills secrets that a development installation did not give; `embedded` the address of an embedded Postgres.
 * @throws ConfigError one error that names every bad variable.
 */
export function readConfig(given: Environment, generated: GeneratedSecrets = {}, embedded: { databaseUrl?: string } = {}): Config {
  const env: Environment = { ...generated, ...definedOnly(given) };
  const reader = new Reader(env);
  const production = isProduction(env);
  const port = reader.integer('PORT', 3000, 1, MAX_PORT);
  const adminUrl = reader.origins('ADMIN_URL');
  const config: Config = {
    production,
    role: reader.choice('PORTCULLIS_ROLE', ['all', 'api', 'gate']),
    dataDir: dataDirectoryOf(env),
    logLevel: reader.choice('LOG_LEVEL', ['info', 'fatal', 'error', 'warn', 'debug', 'silent']),
    http: {
      port,
      host: reader.text('HOST') ?? (production ? '0.0.0.0' : '127.0.0.1'),
      publicUrl: (reader.url('PUBLIC_URL', ['http:', 'https:']) ?? `http://localhost:${port}`).replace(/\/+$/, ''),
      corsOrigins: [...adminUrl, ...reader.origins('CORS_ORIGINS')],
      trustProxy: reader.cidrs('TRUST_PROXY'),
    },
    internal: {
      port: reader.integer('INTERNAL_PORT', 3001, 1, MAX_PORT),
      host: reader.text('INTERNAL_HOST') ?? '127.0.0.1',
      secrets: reader.list('MQTT_INTERNAL_AUTH_SECRET'),
      tls: readInternalTls(reader),
    },
    database: {
      url: reader.url('DATABASE_URL', ['postgres:', 'postgresql:']) ?? embedded.databaseUrl,
      appUrl: reader.url('DATABASE_URL_APP', ['postgres:', 'postgresql:']),
      gateUrl: reader.url('DATABASE_URL_GATE', ['postgres:', 'postgresql:']),
      readerUrl: reader.url('DATABASE_URL_READER', ['postgres:', 'postgresql:']),
      migratorUrl: reader.url('DATABASE_URL_MIGRATOR', ['postgres:', 'postgresql:']),
      rolePrefix: readRolePrefix(reader),
      ssl: readSsl(reader, production),
      poolSize: reader.integer('DB_POOL_SIZE', 10, 1, 200),
      gatePoolSize: reader.integer('GATE_POOL_SIZE', 4, 1, 100),
    },
    redis: { url: reader.url('REDIS_URL', ['redis:', 'rediss:']) },
    mqtt: {
      url: reader.url('MQTT_URL', ['mqtt:', 'mqtts:', 'ws:', 'wss:']),
      // The embedded broker knows one version.
      version: reader.text('MQTT_URL') === undefined ? '3.1.1' : reader.choice('MQTT_VERSION', ['5', '3.1.1']),
      port: reader.integer('MQTT_PORT', 1883, 1, MAX_PORT),
      publicHost: reader.text('MQTT_PUBLIC_HOST') ?? 'localhost',
      external: {
        mtls: reader.integer('MQTTS_PORT', 8883, 1, MAX_PORT),
        tls: reader.integer('MQTTS_TOKEN_PORT', 8885, 1, MAX_PORT),
        wss: reader.integer('MQTT_WSS_PORT', 8084, 1, MAX_PORT),
      },
      emqx: readEmqxApi(reader),
      lintWaived: reader.list('BROKER_LINT_WAIVE'),
      topicPrefix: readTopicPrefix(reader),
      topicProfile: reader.choice('TOPIC_PROFILE', ['directional', 'namespace']),
    },
    web: {
      jwtSecret: reader.text('JWT_SECRET') ?? '',
      registration: reader.choice('REGISTRATION', ['locked', 'open']),
    },
    mail: {
      smtpUrl: reader.url('SMTP_URL', ['smtp:', 'smtps:']),
      from: reader.text('MAIL_FROM') ?? 'Portcullis <noreply@localhost>',
    },
    deviceTokens: { hs256Secret: reader.text('MQTT_JWT_SECRET'), profiles: readTokenProfiles(reader) },
    masterKeys: readMasterKeys(reader),
    adminKey: reader.text('ADMIN_KEY') ?? '',
    gate: {
      brokerUnknown: reader.choice('BROKER_UNKNOWN', ['deny', 'ignore']),
      brokerCert: reader.choice('BROKER_CERT', ['pem', 'cn']),
      aclTerminal: reader.choice('ACL_TERMINAL', ['callback', 'deny']),
      authFailurePolicy: reader.choice('AUTH_FAILURE_POLICY', ['possession', 'strict']),
      staleFactsMaxMs: reader.integer('STALE_FACTS_MAX', 60, 0, 3_600) * 1000,
      sessionMaxMs: reader.integer('SESSION_MAX', 86_400, 60, 30 * 86_400) * 1000,
    },
    pki: {
      publicUrl: (reader.url('PKI_PUBLIC_URL', ['http:', 'https:']) ?? `http://localhost:${port}`).replace(/\/+$/, ''),
      keyType: reader.choice('PKI_KEY_TYPE', ['EC', 'RSA']),
      crlFile: reader.text('PKI_CRL_FILE'),
      caFile: reader.text('PKI_CA_FILE'),
      deviceTlsPort: reader.text('DEVICE_TLS_PORT') === undefined ? undefined : reader.integer('DEVICE_TLS_PORT', 8443, 1, MAX_PORT),
    },
    messages: { requireSignatures: reader.choice('REQUIRE_HMAC_SIGNATURES', ['true', 'false']) === 'true', gatewayId: readGatewayId(reader) },
    bootstrap: {
      email: reader.text('ADMIN_EMAIL') ?? 'admin@localhost.localdomain',
      password: reader.text('ADMIN_PASSWORD'),
    },
  };
  checkSecrets(reader, config);
  if (production) checkProduction(reader, config);
  else checkRole(reader, config, given);
  if (reader.problems.length > 0) throw new ConfigError(reader.problems);
  return deepFreeze(config);
}

function checkSecrets(reader: Reader, config: Config): void {
  const seen = new Map<string, string>();
  for (const name of SECRET_VARIABLES) {
    const values = name === 'MQTT_INTERNAL_AUTH_SECRET' ? reader.list(name) : [reader.text(name) ?? ''];
    const optional = name === 'MQTT_JWT_SECRET';
    if (optional && values[0] === '') continue;
    if (values.length === 0 || values[0] === '') {
      reader.complain(name, 'is required');
      continue;
    }
    if (values.length > 2) reader.complain(name, 'may hold two values at most');
    for (const value of values) {
      if (value.length < MIN_SECRET_LENGTH) reader.complain(name, `must have at least ${MIN_SECRET_LENGTH} characters`);
      else if (SAMPLE_VALUES.test(value)) reader.complain(name, 'looks like a sample value; generate one (openssl rand -base64 48)');
      const other = seen.get(value);
      if (other) reader.complain(name, other === name ? 'must hold two different values' : `must differ from ${other}`);
      seen.set(value, name);
    }
  }
  for (const { key } of config.masterKeys) {
    const other = seen.get(key.toString('base64'));
    if (other) reader.complain('SECRETS_MASTER_KEYS', `must differ from ${other}`);
  }
}

function checkProduction(reader: Reader, config: Config): void {
  for (const [name, value] of [
    ['DATABASE_URL_APP', config.database.appUrl],
    ['DATABASE_URL_GATE', config.database.gateUrl],
    ['DATABASE_URL_READER', config.database.readerUrl],
    ['DATABASE_URL_MIGRATOR', config.database.migratorUrl],
    ['REDIS_URL', config.redis.url],
    ['MQTT_URL', config.mqtt.url],
    ['PUBLIC_URL', reader.text('PUBLIC_URL')],
  ] as const) {
    // One owner's URL is a convenience of development: in production SET ROLE could climb back to it.
    if (value === undefined) reader.complain(name, 'is required in production');
  }
  if (!config.messages.requireSignatures) reader.complain('REQUIRE_HMAC_SIGNATURES', 'must be true in production');
  if (config.mail.smtpUrl !== undefined && reader.text('MAIL_FROM') === undefined) {
    reader.complain('MAIL_FROM', 'is required in production with SMTP_URL');
  }
  if (reader.text('PUBLIC_URL') && config.http.publicUrl.startsWith('http://')) reader.complain('PUBLIC_URL', 'must be https in production');
  const { ssl, appUrl, gateUrl, readerUrl, migratorUrl } = config.database;
  if (ssl.mode !== 'verify-full' && [appUrl, gateUrl, readerUrl, migratorUrl].some((url) => url !== undefined && !isNear(url))) {
    reader.complain('DB_SSL_MODE', 'must be verify-full in production, unless the database is on this machine or in its container network');
  }
  if (!isLoopback(config.internal.host) && !config.internal.tls) {
    reader.complain('INTERNAL_TLS_CERT', 'is required in production once INTERNAL_HOST leaves loopback');
  }
}

function checkRole(reader: Reader, config: Config, given: Environment): void {
  if (config.role === 'all') return;
  if (!given['DATABASE_URL']) reader.complain('DATABASE_URL', `is required with PORTCULLIS_ROLE=${config.role}`);
  if (!config.redis.url) reader.complain('REDIS_URL', `is required with PORTCULLIS_ROLE=${config.role}`);
}

function readInternalTls(reader: Reader): Config['internal']['tls'] {
  const cert = reader.text('INTERNAL_TLS_CERT');
  const key = reader.text('INTERNAL_TLS_KEY');
  const clientCa = reader.text('INTERNAL_TLS_CLIENT_CA');
  if (!cert && !key && !clientCa) return undefined;
  if (!cert) reader.complain('INTERNAL_TLS_CERT', 'is required with the other INTERNAL_TLS_ variables');
  if (!key) reader.complain('INTERNAL_TLS_KEY', 'is required with the other INTERNAL_TLS_ variables');
  if (!clientCa) reader.complain('INTERNAL_TLS_CLIENT_CA', 'is required with the other INTERNAL_TLS_ variables');
  return { cert: cert ?? '', key: key ?? '', clientCa: clientCa ?? '' };
}

/**
 * What the embedded broker alone needs to run. @param generated secrets of an installation on this machine
 * @throws ConfigError where there is no `MQTT_INTERNAL_AUTH_SECRET`
 */
export function brokerSettingsOf(env: Environment, generated: GeneratedSecrets = {}): { port: number; callbackUrl: string; internalSecret: string } {
  const reader = new Reader({ ...generated, ...definedOnly(env) });
  const port = reader.integer('MQTT_PORT', 1883, 1, MAX_PORT);
  const callbackUrl = `http://${reader.text('INTERNAL_HOST') ?? '127.0.0.1'}:${reader.integer('INTERNAL_PORT', 3001, 1, MAX_PORT)}`;
  const [internalSecret] = reader.list('MQTT_INTERNAL_AUTH_SECRET');
  if (internalSecret === undefined) reader.complain('MQTT_INTERNAL_AUTH_SECRET', 'is required, as the application at INTERNAL_PORT has it');
  if (reader.problems.length > 0) throw new ConfigError(reader.problems);
  return { port, callbackUrl, internalSecret: internalSecret ?? '' };
}

/**
 * The management API alone, for a command that needs nothing else.
 * @throws ConfigError when only a part of it is given.
 */
export function emqxApiOf(env: Environment): Config['mqtt']['emqx'] {
  const reader = new Reader(env);
  const api = readEmqxApi(reader);
  if (reader.problems.length > 0) throw new ConfigError(reader.problems);
  return api;
}

function readEmqxApi(reader: Reader): Config['mqtt']['emqx'] {
  const url = reader.url('EMQX_API_URL', ['http:', 'https:']);
  const key = reader.text('EMQX_API_KEY');
  const secret = reader.text('EMQX_API_SECRET');
  if (!url && !key && !secret) return undefined;
  if (!reader.text('EMQX_API_URL')) reader.complain('EMQX_API_URL', 'is required with the other EMQX_API_ variables');
  if (!key) reader.complain('EMQX_API_KEY', 'is required with the other EMQX_API_ variables');
  if (!secret) reader.complain('EMQX_API_SECRET', 'is required with the other EMQX_API_ variables');
  return { url: url ?? '', key: key ?? '', secret: secret ?? '' };
}

function readSsl(reader: Reader, production: boolean): SslOptions {
  return {
    mode: reader.choice('DB_SSL_MODE', ['disable', 'require', 'verify-full'], production ? 'verify-full' : 'disable'),
    ca: reader.text('DB_SSL_CA'),
    cert: reader.text('DB_SSL_CERT'),
    key: reader.text('DB_SSL_KEY'),
  };
}

function readRolePrefix(reader: Reader): string | undefined {
  const prefix = reader.text('DATABASE_ROLE_PREFIX');
  // Role names are put into DDL, where no parameter can be bound: only a plain identifier is let through.
  if (prefix !== undefined && !/^[a-z_][a-z0-9_]{0,49}$/.test(prefix)) {
    reader.complain('DATABASE_ROLE_PREFIX', 'must be lower-case letters, digits and _, at most 50');
    return undefined;
  }
  return prefix;
}

function readTopicPrefix(reader: Reader): string {
  const prefix = reader.text('MQTT_TOPIC_PREFIX') ?? 'devices';
  const levels = prefix.split('/');
  const plain = levels.length <= 8 && levels.every((level) => /^[A-Za-z0-9_-]{1,64}$/.test(level));
  if (!plain) reader.complain('MQTT_TOPIC_PREFIX', 'must be levels of letters, digits, _ and -, separated by /');
  if (['verified', 't'].includes(levels[0] ?? '')) reader.complain('MQTT_TOPIC_PREFIX', 'must not start with verified or t');
  return prefix;
}

/** Part of MQTT client ids, which other brokers keep sessions under: short and plain. */
function readGatewayId(reader: Reader): string {
  const given = reader.text('GATEWAY_ID');
  if (given === undefined) return hash('sha256', `${hostname()}:${reader.text('INTERNAL_PORT') ?? '3001'}`, 'hex').slice(0, 12);
  if (!/^[A-Za-z0-9_]{1,16}$/.test(given)) reader.complain('GATEWAY_ID', 'must be 1 to 16 letters, digits and _');
  return given;
}

function readTokenProfiles(reader: Reader): TokenProfile[] {
  const known: readonly TokenProfile[] = ['topics', 'publ-subs'];
  return reader.list('TOKEN_PROFILES').flatMap((item) => {
    const profile = known.find((candidate) => candidate === item);
    if (!profile) reader.complain('TOKEN_PROFILES', `may hold ${known.join(', ')}`);
    return profile ? [profile] : [];
  });
}

function readMasterKeys(reader: Reader): MasterKey[] {
  const keys: MasterKey[] = [];
  const name = 'SECRETS_MASTER_KEYS';
  const items = reader.list(name);
  if (items.length === 0) reader.complain(name, 'is required');
  for (const item of items) {
    const match = /^([A-Za-z0-9_.-]{1,32}):([A-Za-z0-9+/_-]+={0,2})$/.exec(item);
    const key = match ? Buffer.from(match[2] ?? '', 'base64') : Buffer.alloc(0);
    if (!match || key.length !== 32) {
      reader.complain(name, 'must be kid:base64 pairs, each key exactly 32 bytes (openssl rand -base64 32)');
      continue;
    }
    const weak = new Set(key).size < 8;
    if (weak) reader.complain(name, `holds a key that is not random (${match[1]})`);
    if (keys.some((other) => other.kid === match[1] || other.key.equals(key))) reader.complain(name, 'must hold distinct kids and keys');
    keys.push({ kid: match[1] ?? '', key });
  }
  return keys;
}

/** Whether an address can be reached from this machine only. */
/** A database that nothing but this machine lies before: loopback, a socket, or a name without a domain, as container networks give. */
function isNear(url: string): boolean {
  const host = new URL(url).hostname.replace(/^\[|\]$/g, '');
  return host === '' || isLoopback(host) || (isIP(host) === 0 && !host.includes('.'));
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

function definedOnly(env: Environment): Environment {
  return Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value.trim() !== ''));
}

function deepFreeze<T>(value: T): T {
  if (value !== null && typeof value === 'object' && !Buffer.isBuffer(value) && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}
