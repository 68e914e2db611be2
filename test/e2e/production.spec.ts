import fs from 'node:fs/promises';
import https from 'node:https';
import path from 'node:path';
import {
  createProductionDatabase,
  exitCode,
  setUpContainers,
  type ProductionDatabase,
  type SetUp,
} from '../factories/containers.js';
import { freePorts, Installation, ROOT, type Ports } from '../fakes/installation.js';

const LIMIT_MS = 180_000;

interface Reply {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

interface Asked {
  readonly status: number;
  readonly body: string;
}

/** What the compose file would give the program, without containers: roles, secrets, certificates, environment. */
describe('an installation in production', () => {
  let made: SetUp;
  let database: ProductionDatabase;
  let ports: Ports;
  let installation: Installation;
  let headers: Record<string, string>;

  async function call(method: string, route: string, body?: unknown): Promise<Reply> {
    const answer = await fetch(`http://127.0.0.1:${ports.rest}/api/v1/${route}`, {
      method,
      headers: { 'content-type': 'application/json', ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  }

  /** As EMQX asks, with its certificate and the secret of its configuration. */
  async function ask(question: Record<string, string>, certificate = 'broker-client'): Promise<Asked> {
    const read = (name: string): Promise<string> => fs.readFile(path.join(made.secrets, name), 'utf8');
    const secret = /"x-internal-auth" = "(\w+)"/.exec(await read('emqx.conf'))?.[1] ?? '';
    const [cert, key] = certificate === '' ? [] : await Promise.all(['crt', 'key'].map((part) => read(`${certificate}.${part}`)));
    const ca = await read('internal-ca.crt');
    const target = { host: '127.0.0.1', port: ports.internal, servername: 'portcullis', agent: false, ca, cert, key } as const;
    const sent = { 'content-type': 'application/json', 'x-internal-auth': secret };
    return new Promise((resolve, reject) => {
      const request = https.request(
        { ...target, method: 'POST', path: '/api/v1/internal/mqtt-auth', headers: sent },
        (response) => {
          let body = '';
          response.on('data', (chunk) => (body += String(chunk)));
          response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
        },
      );
      request.on('error', reject);
      request.end(JSON.stringify(question));
    });
  }

  beforeAll(async () => {
    [made, database, ports] = await Promise.all([setUpContainers(), createProductionDatabase(), freePorts()]);
    const { DATABASE_URL_MIGRATOR: url = '' } = made.given;
    expect(new URL(url).username).toBe('portcullis_migrator_login');
    const tls = (name: string): string => path.join(made.secrets, name);
    installation = await Installation.start(path.join(made.folder, 'unused'), ports, {
      ...made.given,
      HOST: '127.0.0.1',
      INTERNAL_HOST: '127.0.0.1',
      PORT: String(ports.rest),
      INTERNAL_PORT: String(ports.internal),
      INTERNAL_TLS_CERT: tls('internal.crt'),
      INTERNAL_TLS_KEY: tls('internal.key'),
      INTERNAL_TLS_CLIENT_CA: tls('internal-ca.crt'),
      DATABASE_URL_MIGRATOR: database.urlOf('migrator'),
      DATABASE_URL_APP: database.urlOf('app'),
      DATABASE_URL_GATE: database.urlOf('gate'),
      DATABASE_URL_READER: database.urlOf('reader'),
      // Without a Redis on this machine it starts all the same, and goes on without it.
      REDIS_URL: process.env['TEST_REDIS_URL'] || `redis://127.0.0.1:${ports.mqtt}`,
      // Nobody listens there: an EMQX that is down.
      EMQX_API_URL: `http://127.0.0.1:${ports.mqtt}`,
    });
    headers = {};
    const { ADMIN_EMAIL: email = '', ADMIN_PASSWORD: password = '' } = made.given;
    const login = await call('POST', 'auth/login', { email, password });
    expect(login.status).toBe(200);
    headers = { authorization: `Bearer ${String(login.body['access_token'])}` };
  }, LIMIT_MS);

  afterAll(async () => {
    await installation?.stop();
    await database?.drop();
    await made?.remove();
  }, LIMIT_MS);

  it('tells no password and makes no data directory', async () => {
    expect(installation.output).not.toContain(made.given['ADMIN_PASSWORD']);
    await expect(fs.access(path.join(made.folder, 'unused'))).rejects.toThrow();
  });

  it('is healthy by the check of its image', async () => {
    const own = path.join(made.secrets, 'internal');
    const code = await exitCode(process.execPath, [path.join(ROOT, 'docker', 'healthcheck.mjs')], {
      INTERNAL_HOST: '0.0.0.0',
      INTERNAL_PORT: String(ports.internal),
      INTERNAL_TLS_CERT: `${own}.crt`,
      INTERNAL_TLS_KEY: `${own}.key`,
    });
    expect(code).toBe(0);
  });

  it('answers the broker over TLS, and nobody who shows no certificate of the link', async () => {
    const stranger = { clientid: 'x', username: 'x', password: 'x', listener_kind: 'token' };
    expect(await ask(stranger)).toEqual({ status: 200, body: '{"result":"deny","is_superuser":false}' });
    await expect(ask(stranger, '')).rejects.toThrow();
    await expect(fetch(`http://127.0.0.1:${ports.internal}/health/live`)).rejects.toThrow();
  });

  it('lets a device in through the listener for secrets alone, and refuses it from its suspension on', async () => {
    const { body: device } = await call('POST', 'devices', { slug: 'pump-1', credentials: ['secret'] });
    const [id, secret] = [String(device['id']), String(device['client_secret'])];
    const question = { clientid: id, username: id, password: secret };
    expect(device['mqtt']).toMatchObject({ host: 'mqtt.example.org', ports: { tls: expect.any(Number), wss: 8084 } });
    expect(JSON.parse((await ask({ ...question, listener_kind: 'token' })).body)).toMatchObject({ result: 'allow' });
    for (const kind of ['mtls', '']) {
      expect(JSON.parse((await ask({ ...question, listener_kind: kind })).body)).toMatchObject({ result: 'deny' });
    }
    const suspended = await call('POST', `devices/${id}/suspend`, { reason: 'stolen' });
    // The broker is down, so nothing is claimed about its sessions.
    expect(suspended).toMatchObject({ status: 200, body: { status: 'SUSPENDED', ejection: { confirmed: false } } });
    expect(JSON.parse((await ask({ ...question, listener_kind: 'token' })).body)).toMatchObject({ result: 'deny' });
  });

  it('leaves in order when it is told to', async () => {
    expect(await installation.stop()).toBe(0);
  });
});
