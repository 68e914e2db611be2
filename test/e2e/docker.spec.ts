import { execFile } from 'node:child_process';
import fs from 'node:fs/promises';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { MIGRATIONS } from '../../src/migrations/migrations.js';
import type { Config } from '../../src/platform/config/config.js';
import { readConfig } from '../../src/platform/config/read-config.js';
import { VARIABLES } from '../../src/platform/config/variables.js';
import { migrate } from '../../src/platform/database/migrate.js';
import { Pools } from '../../src/platform/database/pools.js';
import {
  createProductionDatabase,
  DATABASE_ROLES,
  exitCode,
  setUpContainers,
  type DatabaseRole,
  type ProductionDatabase,
  type SetUp,
  type Values,
} from '../factories/containers.js';
import { ROOT } from '../fakes/installation.js';

const run = promisify(execFile);
const KNOWN: readonly string[] = Object.values(VARIABLES).flat().map(({ name }) => name);

describe('the files for containers', () => {
  let made: SetUp;
  let given: Values;

  beforeAll(async () => {
    made = await setUpContainers();
    given = made.given;
  });

  afterAll(() => made.remove());

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
    const { compose, folder } = made;
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
    const { secrets } = made;
    const before = await fs.readFile(path.join(secrets, 'portcullis.env'), 'utf8');
    await expect(made.again()).rejects.toMatchObject({ code: 1 });
    expect(await fs.readFile(path.join(secrets, 'portcullis.env'), 'utf8')).toBe(before);
    expect((await fs.stat(secrets)).mode & 0o777).toBe(0o700);
  });

  it('let the health check through to a listener that demands client certificates, and nobody without one', async () => {
    const { secrets } = made;
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
    const { secrets } = made;
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

  it('takes certificates of the authorities that Portcullis writes down, and looks for the lists of those that were revoked', async () => {
    expect(text).toMatch(/cacertfile = "\/etc\/portcullis\/devices\/device-ca\.pem",.* verify = verify_peer, fail_if_no_peer_cert = true, depth = 10, enable_crl_check = true/);
    const compose = await fs.readFile(path.join(ROOT, 'docker-compose.yml'), 'utf8');
    expect(compose).toContain('PKI_CA_FILE: /var/lib/portcullis/device-ca.pem');
    expect(compose).toContain('- device-ca:/var/lib/portcullis\n');
    expect(compose).toContain('- device-ca:/etc/portcullis/devices:ro\n');
    expect(compose).toContain('- 8883:8883\n');
    expect(await fs.readFile(path.join(ROOT, 'docker', 'Dockerfile'), 'utf8')).toContain('chown node:node /var/lib/portcullis');
    // The name that compose gives it, and the port on which it serves /pki.
    const made = await setUpContainers();
    await made.remove();
    expect(made.given['PKI_PUBLIC_URL']).toBe('http://portcullis:3000');
    expect(compose).toMatch(/^ {2}portcullis:$/m);
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
      { name: 'ssl.default', enabled: true, kinds: ['mtls'] },
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
  let database: ProductionDatabase;
  let pools: Pools;

  beforeAll(async () => {
    database = await createProductionDatabase();
    const config: Config['database'] = {
      migratorUrl: database.urlOf('migrator'),
      appUrl: database.urlOf('app'),
      gateUrl: database.urlOf('gate'),
      readerUrl: database.urlOf('reader'),
      ssl: { mode: 'disable' },
      poolSize: 2,
      gatePoolSize: 2,
    };
    await migrate(config, MIGRATIONS);
    pools = new Pools({ database: config } as Config);
  });

  afterAll(async () => {
    await pools?.onApplicationShutdown();
    await database?.drop();
  });

  it('carry a whole installation: the migrator owns the tables, the others read what is theirs', async () => {
    const owners = `SELECT DISTINCT tableowner AS owner FROM pg_tables WHERE schemaname = 'public'`;
    expect((await pools.gate.query(owners)).rows).toEqual([{ owner: `${database.name}_migrator` }]);
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

  it.each<DatabaseRole>(['app', 'gate', 'reader'])('let %s climb into no other role', async (role) => {
    const client = new pg.Client(database.urlOf(role));
    await client.connect();
    try {
      for (const other of DATABASE_ROLES.filter((candidate) => candidate !== role)) {
        await expect(client.query(`SET ROLE ${database.name}_${other}`)).rejects.toMatchObject({ code: '42501' });
      }
    } finally {
      await client.end();
    }
  });
});
