import { execFile } from 'node:child_process';
import fs from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { freePorts, Installation, ROOT, type Ports } from '../fakes/installation.js';
import { TestClient } from '../fakes/mqtt-client.js';

const run = promisify(execFile);
const MARK = '<<<block>>>';
const LIMIT_MS = 180_000;

/** The shell blocks between the two marks of a page, in order. */
async function tourBlocks(page: string): Promise<string[]> {
  const text = await fs.readFile(path.join(ROOT, page), 'utf8');
  const tour = /<!-- tour -->([\s\S]*)<!-- \/tour -->/.exec(text)?.[1] ?? '';
  return [...tour.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((match) => String(match[1]));
}

describe('the tour of the README', () => {
  let folder: string;
  let dataDir: string;
  let ports: Ports;
  let installation: Installation;
  let password: string;
  /** What each block printed; block 0 stands before the first. */
  let printed: string[];

  beforeAll(async () => {
    folder = await fs.mkdtemp(path.join(os.tmpdir(), 'portcullis-tour-'));
    dataDir = path.join(folder, 'data');
    ports = await freePorts();
    installation = await Installation.start(dataDir, ports);
    password = /^ {2}password {2}(\S+) /m.exec(installation.output)?.[1] ?? '';
    // One shell for all of it, as a reader has; the last line hands over what later tests need.
    const handOver = 'echo "$ID $SECRET $(field access_token <<< "$DEVICE")"\n';
    const blocks = [...(await tourBlocks('README.md')), handOver, ...(await tourBlocks('docs/pki.md'))];
    const script = blocks.join(`echo '${MARK}'\n`);
    const { stdout, stderr } = await run('bash', ['--norc', '-c', script], {
      cwd: ROOT,
      env: {
        PATH: process.env['PATH'],
        BASE: `http://127.0.0.1:${ports.rest}`,
        MQTT_PORT: String(ports.mqtt),
        MQTTS_PORT: String(ports.mtls),
        TMPDIR: folder,
        ADMIN_PASSWORD: password,
      },
    });
    expect(stderr).toBe('');
    printed = ['', ...stdout.split(`${MARK}\n`)];
  }, LIMIT_MS);

  afterAll(async () => {
    await installation?.stop();
    await fs.rm(folder, { recursive: true, force: true });
  }, LIMIT_MS);

  it('begins with the password that the first start prints', () => {
    expect(password.length).toBeGreaterThanOrEqual(16);
    expect(printed).toHaveLength(11);
  });

  it('1 logs the first admin in', () => {
    const me: unknown = JSON.parse(printed[1] ?? '');
    expect(me).toMatchObject({ email: 'admin@localhost.localdomain', role: 'ADMIN', tenant: { slug: 'default' } });
  });

  it('2 registers a device and tells where it connects and what it may', () => {
    expect(printed[2]).toMatch(new RegExp(`mqtt: ${ports.mqtt}\\b`));
    expect(printed[2]).toMatch(/publish: \[\s*'devices\/[0-9a-f-]{36}\/telemetry'/);
    expect(printed[2]).toMatch(/subscribe: \[\s*'devices\/[0-9a-f-]{36}\/commands'/);
  });

  it('3 lets it connect and publish where it may', () => {
    expect(printed[3]).toBe('ok\n');
  });

  it('4 refuses it what it may not, and says why', () => {
    const [refused, acknowledged, explained = ''] = String(printed[4]).split('\n');
    expect(refused).toMatch(/Subscribe error/);
    expect(acknowledged).toBe('ok');
    expect(JSON.parse(explained)).toMatchObject({
      result: 'deny',
      reason: 'TOPIC_NOT_GRANTED',
      nearest: { rule: { action: 'publish' } },
    });
  });

  it('5 cuts its session when it is suspended, and refuses its return', () => {
    expect(printed[5]).toMatch(/confirmed: true/);
    expect([...String(printed[5]).matchAll(/Connection refused: Not authorized/g)]).toHaveLength(2);
  });

  it('6 finds all of it in the audit log', () => {
    const rows = String(printed[6]).trim().split('\n').map((row) => row.split('  ').slice(1).join(' ').trim());
    expect(rows).toEqual(expect.arrayContaining([
      'DEVICE_REGISTERED',
      'AUTH_SUCCESS',
      'ACL_DENIED TOPIC_NOT_GRANTED',
      'DEVICE_SUSPENDED stolen',
      'AUTH_FAILURE DEVICE_SUSPENDED',
      expect.stringMatching(/^DEVICE_EJECTED\b/),
    ]));
  });

  it('gives a device a certificate for its own key, lets it in over TLS, and refuses it once revoked (docs/pki.md)', () => {
    expect(printed[8]).toMatch(/^subject=CN ?= ?[0-9a-f-]{36}\nnotAfter=/);
    expect(printed[9]).toBe('ok\n');
    expect(printed[10]).toMatch(/^1\n.*Connection refused: Not authorized\n1\n$/);
  });

  describe('after SIGKILL, started again on the same data', () => {
    let device: { id: string; secret: string; token: string };
    let headers: Record<string, string>;

    function call(method: string, route: string, body?: unknown): Promise<Response> {
      return fetch(`http://127.0.0.1:${ports.rest}/api/v1/${route}`, {
        method,
        headers: { 'content-type': 'application/json', ...headers },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    }

    beforeAll(async () => {
      const [id = '', secret = '', token = ''] = String(printed[7]).trim().split(' ');
      device = { id, secret, token };
      headers = {};
      await installation.kill();
      installation = await Installation.start(dataDir, ports);
      const login = await call('POST', 'auth/login', { email: 'admin@localhost.localdomain', password });
      const { access_token: access } = (await login.json()) as { access_token: string };
      headers = { authorization: `Bearer ${access}` };
    }, LIMIT_MS);

    it('the admin enters with the password of before, and none is printed again', async () => {
      expect((await call('GET', 'auth/me')).status).toBe(200);
      expect(installation.output).not.toContain('First admin');
    });

    it('the suspension holds', async () => {
      const { id, secret } = device;
      const connect = TestClient.connect(ports.mqtt, { clientId: id, username: id, password: secret });
      await expect(connect).rejects.toMatchObject({ code: 5 });
    });

    it('secret and token of before let the device in once it is active again', async () => {
      const { id, secret, token } = device;
      expect((await call('POST', `devices/${id}/activate`, { reason: 'found' })).status).toBe(200);
      for (const password of [secret, token]) {
        const client = await TestClient.connect(ports.mqtt, { clientId: id, username: id, password });
        await client.publish(`devices/${id}/telemetry`, 'back');
        await client.end();
      }
    });

    it('the audit log remembers both lives', async () => {
      const answer = await call('GET', `audit/logs?deviceId=${device.id}`);
      const { items } = (await answer.json()) as { items: { eventType: string }[] };
      const types = items.map(({ eventType }) => eventType);
      expect(types).toEqual(expect.arrayContaining(['DEVICE_REGISTERED', 'DEVICE_SUSPENDED', 'DEVICE_ACTIVATED']));
    });
  });

  it('a second start on the data directory is one sentence that names the holder, and exit code 1', async () => {
    const { code, said } = await Installation.startInVain(dataDir, await freePorts());
    expect(said).toMatch(/^The data directory \S+ is (in use|held) by [^\n]*\d+[^\n]*\.$/);
    expect(code).toBe(1);
  }, LIMIT_MS);

  it.each([
    ['PORT', 'rest'],
    ['INTERNAL_PORT', 'internal'],
    ['MQTT_PORT', 'mqtt'],
    ['MQTTS_PORT', 'mtls'],
    ['MQTTS_TOKEN_PORT', 'tls'],
  ] as const)('a taken %s is one sentence that names port and variable, and exit code 1', async (variable, which) => {
    const own = await freePorts();
    const holder = net.createServer();
    await new Promise<void>((resolve) => holder.listen(own[which], '127.0.0.1', resolve));
    try {
      const { code, said } = await Installation.startInVain(path.join(folder, which), own);
      const sentence = `^Port ${own[which]} on 127\\.0\\.0\\.1 is in use; set ${variable}\\b[^\\n]*\\.$`;
      expect(said).toMatch(new RegExp(sentence));
      expect(code).toBe(1);
    } finally {
      await new Promise((resolve) => holder.close(resolve));
    }
  }, LIMIT_MS);

  it('a first start that failed keeps no password to itself: the next one prints it', async () => {
    // Left by the test of a taken port: started once, in vain, after everything but the last listener was up.
    const next = await Installation.start(path.join(folder, 'mqtt'), await freePorts());
    try {
      expect(next.output).toMatch(/^ {2}password {2}\S{16,}/m);
    } finally {
      await next.stop();
    }
  }, LIMIT_MS);
});
