import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs/promises';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { MIGRATIONS } from '../../src/migrations/migrations.js';
import type { Config } from '../../src/platform/config/config.js';
import { readConfig } from '../../src/platform/config/read-config.js';
import { VARIABLES } from '../../src/platform/config/variables.js';
import { migrate } from '../../src/platform/database/migrate.js';
import { Pools } from '../../src/platform/database/pools.js';
import { administer, serverUrl } from '../factories/database.js';

const run = promisify(execFile);
const ROOT = path.resolve(__dirname, '..', '..');
const KNOWN: readonly string[] = Object.values(VARIABLES).flat().map(({ name }) => name);
const ROLES = ['migrator', 'app', 'gate', 'reader'] as const;

type Values = Record<string, string>;

function envFile(text: string): Values {
  const assignments = [...text.matchAll(/^(\w+)=(.*)$/gm)];
  return Object.fromEntries(assignments.map(([, name = '', value = '']) => [name, value]));
}

/** The members of `services.portcullis.environment`, by their indentation: the file keeps to one form. */
function environmentOf(compose: string): Values {
  const lines = compose.split('\n');
  const service = lines.indexOf('  portcullis:');
  const start = lines.indexOf('    environment:', service);
  const rest = lines.slice(start + 1);
  const end = rest.findIndex((line) => !/^ {6}\S/.test(line));
  return Object.fromEntries(rest.slice(0, end).filter((line) => !line.trim().startsWith('#')).map((line) => {
    const [, name = '', value = ''] = /^ {6}(\w+): (.+)$/.exec(line) ?? [];
    return [name, value];
  }));
}

describe('the files for containers', () => {
  let folder: string;
  let compose: string;
  let secrets: string;
  let given: Values;

  function setUp(): Promise<unknown> {
    const script = path.join(folder, 'docker', 'setup.sh');
    return run('sh', [script, 'https://iot.example.org', 'mqtt.example.org', 'admin@example.org']);
  }

  beforeAll(async () => {
    folder = await fs.mkdtemp(path.join(os.tmpdir(), 'portcullis-docker-'));
    const filter = (name: string): boolean => !name.endsWith('/secrets');
    await fs.cp(path.join(ROOT, 'docker'), path.join(folder, 'docker'), { recursive: true, filter });
    compose = await fs.readFile(path.join(ROOT, 'docker-compose.yml'), 'utf8');
    await setUp();
    secrets = path.join(folder, 'docker', 'secrets');
    given = { ...environmentOf(compose), ...envFile(await fs.readFile(path.join(secrets, 'portcullis.env'), 'utf8')) };
  });

  afterAll(() => fs.rm(folder, { recursive: true, force: true }));

  it('give Portcullis only variables that it reads', () => {
    expect(Object.keys(given).filter((name) => !KNOWN.includes(name))).toEqual([]);
  });

  it('give Portcullis a configuration that it accepts in production', () => {
    const config = readConfig(given);
    expect(config).toMatchObject({ production: true, role: 'all', internal: { host: '0.0.0.0' } });
    expect(config.internal.tls?.clientCa).toBe('/etc/portcullis/internal-ca.crt');
    expect([config.mqtt.url, config.mqtt.emqx?.url, config.redis.url]).not.toContain(undefined);
  });

  it('are YAML of one plain form, and name every file that is mounted', async () => {
    for (const line of compose.split('\n')) {
      expect(line).toMatch(/^(?: {2})*(?:#.*|- \S.*|[\w-]+:(?: \S.*)?)?$/);
    }
    const mounted = [...compose.matchAll(/- (\.\/docker\/\S+?):(\/\S+?):ro$/gm)].map((match) => String(match[1]));
    expect(mounted.length).toBeGreaterThan(5);
    for (const file of mounted) await expect(fs.access(path.join(folder, file))).resolves.toBeUndefined();
    const configured = Object.values(given).filter((value) => value.startsWith('/etc/portcullis/'));
    for (const file of configured) expect(compose).toContain(`:${file}:ro`);
  });

  it('never make secrets twice: the master keys of a living database would be lost', async () => {
    const before = await fs.readFile(path.join(secrets, 'portcullis.env'), 'utf8');
    await expect(setUp()).rejects.toMatchObject({ code: 1 });
    expect(await fs.readFile(path.join(secrets, 'portcullis.env'), 'utf8')).toBe(before);
    expect((await fs.stat(secrets)).mode & 0o777).toBe(0o700);
  });

  it('let the health check through to a listener that demands client certificates, and nobody without one', async () => {
    const read = (name: string) => fs.readFile(path.join(secrets, name));
    const [cert, key, ca] = await Promise.all(['internal.crt', 'internal.key', 'internal-ca.crt'].map(read));
    const options = { cert, key, ca, requestCert: true, rejectUnauthorized: true };
    const server = https.createServer(options, (request, response) => {
      response.writeHead(request.url === '/health/live' ? 200 : 500).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const port = String((server.address() as AddressInfo).port);
    const script = path.join(ROOT, 'docker', 'healthcheck.mjs');
    const check = (env: Values): Promise<number | null> =>
      exitCode(process.execPath, [script], { INTERNAL_HOST: '0.0.0.0', INTERNAL_PORT: port, ...env });
    try {
      const own = path.join(secrets, 'internal');
      expect(await check({ INTERNAL_TLS_CERT: `${own}.crt`, INTERNAL_TLS_KEY: `${own}.key` })).toBe(0);
      expect(await check({})).toBe(1);
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
    expect(await check({})).toBe(1);
  });

  it('let EMQX know Portcullis by its name, and Portcullis EMQX, by one authority', async () => {
    const authority = path.join(secrets, 'internal-ca.crt');
    const verify = (name: string, purpose: string, ...more: string[]): Promise<unknown> =>
      run('openssl', ['verify', '-CAfile', authority, '-purpose', purpose, ...more, path.join(secrets, name)]);
    await verify('internal.crt', 'sslserver', '-verify_hostname', 'portcullis');
    await verify('broker-client.crt', 'sslclient');
    await verify('mqtt.crt', 'sslserver', '-verify_hostname', 'mqtt.example.org');
    await expect(verify('broker-client.crt', 'sslserver')).rejects.toThrow();
  });
});

describe('the configuration of EMQX', () => {
  let text: string;

  beforeAll(async () => {
    const file = await fs.readFile(path.join(ROOT, 'docker', 'emqx', 'emqx.conf'), 'utf8');
    text = file.split('\n').filter((line) => !line.trimStart().startsWith('##')).join('\n');
  });

  it('asks over TLS with both sides known, and bears the secret, wherever it asks', () => {
    const urls = [...text.matchAll(/url = "([^"]+)"/g)].map((match) => match[1]);
    expect(urls).toHaveLength(5);
    expect(urls.filter((url) => !url?.startsWith('https://portcullis:3001/api/v1/internal/mqtt-'))).toEqual([]);
    const file = '"/etc/portcullis/[^"]+"';
    const tls = `verify = verify_peer, cacertfile = ${file}, certfile = ${file}, keyfile = ${file}`;
    const both = new RegExp(`ssl \\{ enable = true, ${tls} \\}`, 'g');
    expect([...text.matchAll(both)]).toHaveLength(5);
    expect([...text.matchAll(/"x-internal-auth" = "@INTERNAL_AUTH_SECRET@"/g)]).toHaveLength(5);
  });

  it('says of each listener that takes clients which proofs belong there', () => {
    const blocks = [...text.matchAll(/^listeners\.(\w+\.\w+) \{([\s\S]*?)^(?=listeners|authorization)/gm)];
    const listeners = blocks.map(([, name, block = '']) => ({
      name,
      enabled: !block.includes('enable = false'),
      kinds: [...block.matchAll(/listener_kind = "(\w+)"/g)].map((kind) => kind[1]),
    }));
    expect(listeners).toEqual([
      { name: 'ssl.token', enabled: true, kinds: ['token'] },
      { name: 'wss.default', enabled: true, kinds: ['token'] },
      { name: 'ssl.default', enabled: false, kinds: ['mtls'] },
      { name: 'tcp.default', enabled: false, kinds: [] },
      { name: 'ws.default', enabled: false, kinds: [] },
    ]);
  });

  it('refuses what nobody grants, and knows no other judge than Portcullis', () => {
    expect(text).toContain('no_match = deny');
    expect(text).toContain('flapping_detect { enable = false }');
    expect(text).not.toMatch(/mechanism = jwt|type = file|built_in_database/);
  });
});

describe('the roles of the database', () => {
  const name = `t_docker_${randomBytes(4).toString('hex')}`;
  const [migrator = '', app = '', gate = '', reader = ''] = ROLES.map(() => randomBytes(12).toString('hex'));
  const passwords = { migrator, app, gate, reader };
  let database: Config['database'];
  let pools: Pools;

  function urlOf(role: (typeof ROLES)[number]): string {
    const url = new URL(serverUrl());
    url.pathname = `/${name}`;
    url.username = `${name}_${role}_login`;
    url.password = passwords[role];
    return url.href;
  }

  beforeAll(async () => {
    await administer(serverUrl(), (client) => client.query(`CREATE DATABASE ${name} TEMPLATE template0`));
    const owner = new URL(serverUrl());
    owner.pathname = `/${name}`;
    const bin = await fs.mkdtemp(path.join(os.tmpdir(), 'portcullis-psql-'));
    const psql = path.join(ROOT, 'test', 'fakes', 'psql.cjs');
    const wrapper = `#!/bin/sh\nexec "${process.execPath}" "${psql}" "$@"\n`;
    await fs.writeFile(path.join(bin, 'psql'), wrapper, { mode: 0o755 });
    const code = await exitCode('sh', [path.join(ROOT, 'docker', 'postgres', 'init.sh')], {
      PATH: `${bin}:${process.env['PATH'] ?? ''}`,
      PSQL_FAKE_URL: owner.href,
      POSTGRES_DB: name,
      POSTGRES_USER: 'portcullis',
      ...Object.fromEntries(ROLES.map((role) => [`PORTCULLIS_${role.toUpperCase()}_PASSWORD`, passwords[role]])),
    });
    await fs.rm(bin, { recursive: true });
    expect(code).toBe(0);
    database = {
      migratorUrl: urlOf('migrator'),
      appUrl: urlOf('app'),
      gateUrl: urlOf('gate'),
      readerUrl: urlOf('reader'),
      ssl: { mode: 'disable' },
      poolSize: 2,
      gatePoolSize: 2,
    };
    await migrate(database, MIGRATIONS);
    pools = new Pools({ database } as Config);
  });

  afterAll(async () => {
    await pools?.onApplicationShutdown();
    await administer(serverUrl(), async (client) => {
      await client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
      for (const role of ROLES) await client.query(`DROP ROLE IF EXISTS ${name}_${role}_login, ${name}_${role}`);
    });
  });

  it('carry a whole installation: the migrator owns the tables, the others read what is theirs', async () => {
    const owners = `SELECT DISTINCT tableowner AS owner FROM pg_tables WHERE schemaname = 'public'`;
    const { rows } = await pools.gate.query(owners);
    expect(rows).toEqual([{ owner: `${name}_migrator` }]);
    expect((await pools.gate.query('SELECT slug FROM tenants')).rows).toEqual([{ slug: 'default' }]);
    expect((await pools.reader.query('SELECT slug FROM tenants')).rows).toEqual([{ slug: 'default' }]);
    expect((await pools.app.query('SELECT slug FROM tenants')).rows).toEqual([]);
  });

  it('hold REST to the tenant that its transaction names', async () => {
    const tenant = (await pools.reader.query<{ id: string }>('SELECT id FROM tenants')).rows[0]?.id ?? '';
    const client = await pools.app.connect();
    try {
      await client.query('BEGIN');
      await client.query(`SELECT set_config('app.tenant', $1, true)`, [tenant]);
      expect((await client.query('SELECT slug FROM tenants')).rows).toEqual([{ slug: 'default' }]);
      await client.query('COMMIT');
      expect((await client.query('SELECT slug FROM tenants')).rows).toEqual([]);
    } finally {
      client.release();
    }
  });

  it('let nobody write the registry through the gate, nor the security log away', async () => {
    await expect(pools.gate.query(`UPDATE tenants SET status = 'FROZEN'`)).rejects.toMatchObject({ code: '42501' });
    await expect(pools.app.query('DELETE FROM security_audit_logs')).rejects.toMatchObject({ code: '42501' });
    await expect(pools.app.query('CREATE TABLE mine (id int)')).rejects.toMatchObject({ code: '42501' });
  });

  it.each(ROLES.filter((role) => role !== 'migrator'))('let %s climb into no other role', async (role) => {
    const client = new pg.Client(urlOf(role));
    await client.connect();
    try {
      for (const other of ROLES.filter((candidate) => candidate !== role)) {
        await expect(client.query(`SET ROLE ${name}_${other}`)).rejects.toMatchObject({ code: '42501' });
      }
    } finally {
      await client.end();
    }
  });
});

/** Runs a program with this environment alone (and PATH) and answers its exit code. */
function exitCode(command: string, words: readonly string[], env: Values): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, words, { env: { PATH: process.env['PATH'] ?? '', ...env }, stdio: 'ignore' });
    child.once('error', reject);
    child.once('close', resolve);
  });
}
