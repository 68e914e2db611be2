import { ConfigError } from './reader.js';
import { brokerSettingsOf, readConfig } from './read-config.js';

const secret = (letter: string) => `${letter}${'kq8Zr2vN5xW1mB7tY4sD9fG3hJ6lP0cA'}`;
const key = (seed: number) => Buffer.from(Array.from({ length: 32 }, (_, i) => (i * 37 + seed) % 256)).toString('base64');

const GOOD = {
  DATABASE_URL: 'postgresql://portcullis@localhost/portcullis',
  JWT_SECRET: secret('a'),
  MQTT_INTERNAL_AUTH_SECRET: secret('b'),
  ADMIN_KEY: secret('c'),
  SECRETS_MASTER_KEYS: `k1:${key(1)}`,
};

const PRODUCTION = {
  ...GOOD,
  NODE_ENV: 'production',
  DATABASE_URL_APP: 'postgresql://app@db/portcullis',
  DATABASE_URL_GATE: 'postgresql://gate@db/portcullis',
  DATABASE_URL_READER: 'postgresql://reader@db/portcullis',
  DATABASE_URL_MIGRATOR: 'postgresql://migrator@db/portcullis',
  REDIS_URL: 'rediss://redis:6379',
  MQTT_URL: 'mqtts://emqx:8883',
  PUBLIC_URL: 'https://iot.example.com',
};

function problemsOf(env: Record<string, string>): readonly string[] {
  try {
    readConfig(env);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}

describe('the configuration', () => {
  it('has every default that the contract names', () => {
    const config = readConfig(GOOD);
    expect(config).toMatchObject({
      production: false,
      role: 'all',
      http: { port: 3000, host: '127.0.0.1', publicUrl: 'http://localhost:3000', corsOrigins: [], trustProxy: [] },
      internal: { port: 3001, host: '127.0.0.1' },
      mqtt: { port: 1883, topicPrefix: 'devices', topicProfile: 'directional' },
      web: { registration: 'locked' },
      gate: {
        brokerUnknown: 'deny', brokerCert: 'pem', aclTerminal: 'callback', authFailurePolicy: 'possession',
        staleFactsMaxMs: 60_000, sessionMaxMs: 86_400_000,
      },
    });
  });

  it('is frozen to its leaves', () => {
    const config = readConfig(GOOD);
    expect(Object.isFrozen(config.gate)).toBe(true);
    expect(Object.isFrozen(config.internal.secrets)).toBe(true);
  });

  it('names every bad variable in one error', () => {
    const problems = problemsOf({ ...GOOD, PORT: '70000', TOPIC_PROFILE: 'free', JWT_SECRET: 'short', TRUST_PROXY: 'true' });
    for (const name of ['PORT', 'TOPIC_PROFILE', 'JWT_SECRET', 'TRUST_PROXY']) {
      expect(problems.some((problem) => problem.startsWith(`${name} `))).toBe(true);
    }
  });

  it.each<[string, Record<string, string>, string]>([
    ['a short secret', { ADMIN_KEY: 'x'.repeat(31) }, 'ADMIN_KEY'],
    ['a sample secret', { JWT_SECRET: 'change-me-change-me-change-me-change-me' }, 'JWT_SECRET'],
    ['a secret of one character', { JWT_SECRET: 'a'.repeat(40) }, 'JWT_SECRET'],
    ['one secret for two purposes', { ADMIN_KEY: GOOD.JWT_SECRET }, 'ADMIN_KEY'],
    ['the broker secret used elsewhere', { MQTT_INTERNAL_AUTH_SECRET: `${secret('d')},${GOOD.JWT_SECRET}` }, 'MQTT_INTERNAL_AUTH_SECRET'],
    ['three broker secrets', { MQTT_INTERNAL_AUTH_SECRET: [secret('d'), secret('e'), secret('f')].join(',') }, 'MQTT_INTERNAL_AUTH_SECRET'],
    ['a short device token secret', { MQTT_JWT_SECRET: 'short' }, 'MQTT_JWT_SECRET'],
    ['a master key of 16 bytes', { SECRETS_MASTER_KEYS: `k1:${Buffer.alloc(16, 7).toString('base64')}` }, 'SECRETS_MASTER_KEYS'],
    ['a master key without kid', { SECRETS_MASTER_KEYS: key(1) }, 'SECRETS_MASTER_KEYS'],
    ['a master key of zeros', { SECRETS_MASTER_KEYS: `k1:${Buffer.alloc(32).toString('base64')}` }, 'SECRETS_MASTER_KEYS'],
    ['two master keys of one kid', { SECRETS_MASTER_KEYS: `k1:${key(1)},k1:${key(2)}` }, 'SECRETS_MASTER_KEYS'],
    ['a wildcard origin', { CORS_ORIGINS: '*' }, 'CORS_ORIGINS'],
    ['an origin with a path', { ADMIN_URL: 'https://a.example/app' }, 'ADMIN_URL'],
    ['a proxy that is no address', { TRUST_PROXY: '10.0.0.0/8,loadbalancer' }, 'TRUST_PROXY'],
    ['the verified prefix', { MQTT_TOPIC_PREFIX: 'verified' }, 'MQTT_TOPIC_PREFIX'],
    ['a prefix with a wildcard', { MQTT_TOPIC_PREFIX: 'a/+' }, 'MQTT_TOPIC_PREFIX'],
    ['a role prefix that could leave its quotes', { DATABASE_ROLE_PREFIX: 'x"; DROP' }, 'DATABASE_ROLE_PREFIX'],
    ['half of the internal TLS', { INTERNAL_TLS_CERT: '/cert.pem' }, 'INTERNAL_TLS_KEY'],
    ['the gate without Redis', { PORTCULLIS_ROLE: 'gate' }, 'REDIS_URL'],
  ])('refuses %s', (_, env, name) => {
    expect(problemsOf({ ...GOOD, ...env }).some((problem) => problem.startsWith(`${name} `))).toBe(true);
  });

  it('never repeats a value: it may be a secret', () => {
    const problems = problemsOf({ ...GOOD, DATABASE_URL: 'mysql://root:hunter2hunter2@db/x', JWT_SECRET: 'hunter2' });
    expect(problems.join('\n')).not.toContain('hunter2');
  });

  it('takes two broker secrets during a rotation', () => {
    expect(readConfig({ ...GOOD, MQTT_INTERNAL_AUTH_SECRET: `${secret('d')},${secret('e')}` }).internal.secrets).toHaveLength(2);
  });

  it('lets an external broker speak MQTT 5 or, where it is said, 3.1.1; the embedded one speaks 3.1.1', () => {
    const url = { MQTT_URL: 'mqtt://broker:1883' };
    expect(readConfig({ ...GOOD, ...url }).mqtt.version).toBe('5');
    expect(readConfig({ ...GOOD, ...url, MQTT_VERSION: '3.1.1' }).mqtt.version).toBe('3.1.1');
    expect(readConfig({ ...GOOD, MQTT_URL: '' }).mqtt.version).toBe('3.1.1');
    expect(problemsOf({ ...GOOD, ...url, MQTT_VERSION: '4' }).some((problem) => problem.startsWith('MQTT_VERSION '))).toBe(true);
  });

  it('asks for no more than the internal secret where the embedded broker runs alone', () => {
    expect(brokerSettingsOf({ MQTT_INTERNAL_AUTH_SECRET: `${secret('d')},${secret('e')}`, INTERNAL_PORT: '4001' })).toEqual(
      { port: 1883, callbackUrl: 'http://127.0.0.1:4001', internalSecret: secret('d') });
    expect(() => brokerSettingsOf({})).toThrow('MQTT_INTERNAL_AUTH_SECRET');
  });

  it('is complete in production with everything external', () => {
    expect(problemsOf(PRODUCTION)).toEqual([]);
    expect(readConfig(PRODUCTION).database.ssl.mode).toBe('verify-full');
  });

  it.each(['DATABASE_URL_APP', 'DATABASE_URL_GATE', 'DATABASE_URL_READER', 'DATABASE_URL_MIGRATOR', 'REDIS_URL', 'MQTT_URL', 'PUBLIC_URL', 'JWT_SECRET'])(
    'stops in production without %s',
    (name) => {
      const env: Record<string, string> = { ...PRODUCTION };
      delete env[name];
      expect(problemsOf(env).some((problem) => problem.startsWith(`${name} `))).toBe(true);
    },
  );

  it.each(['disable', 'require'])('refuses DB_SSL_MODE=%s in production for a database that lies further away than the container network', (mode) => {
    const complains = (url: string, name = 'DATABASE_URL_READER'): boolean =>
      problemsOf({ ...PRODUCTION, DB_SSL_MODE: mode, [name]: url }).some((problem) => problem.startsWith('DB_SSL_MODE '));
    for (const near of ['postgresql://x@db/y', 'postgresql://x@localhost/y', 'postgresql://x@127.0.0.1/y', 'postgresql://x@[::1]/y']) {
      expect({ near, complains: complains(near) }).toEqual({ near, complains: false });
    }
    for (const far of ['postgresql://x@db.example.com/y', 'postgresql://x@10.0.0.7/y', 'postgresql://x@[2001:db8::1]/y']) {
      for (const name of ['DATABASE_URL_APP', 'DATABASE_URL_GATE', 'DATABASE_URL_READER', 'DATABASE_URL_MIGRATOR']) expect(complains(far, name)).toBe(true);
    }
  });

  it('refuses plain http and an internal listener without TLS off loopback in production', () => {
    expect(problemsOf({ ...PRODUCTION, PUBLIC_URL: 'http://iot.example.com' }).join()).toContain('PUBLIC_URL');
    expect(problemsOf({ ...PRODUCTION, INTERNAL_HOST: '0.0.0.0' }).join()).toContain('INTERNAL_TLS_CERT');
  });
});
