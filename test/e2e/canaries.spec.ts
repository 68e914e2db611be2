import { randomUUID } from 'node:crypto';
import { ADMIN, type RegisteredDevice } from '../factories/app.js';
import { administer, cloneDatabase, ROLE_PREFIX, type TestDatabase } from '../factories/database.js';
import { mqttConnect } from '../factories/mqtt-client.js';
import { operationsOf, type OpenApi } from '../factories/operations.js';
import { until } from '../factories/until.js';
import { Canaries } from '../fakes/canaries.js';
import { FakeSmtp } from '../fakes/fake-smtp.js';
import { FlakyProxy } from '../fakes/flaky-proxy.js';
import { ServerProcess } from '../fakes/server-process.js';

jest.setTimeout(180_000);

const SECRET_FIELD = /password|token|secret|passphrase/i;
const JSON_TYPE = { 'content-type': 'application/json' };

interface Told {
  readonly status: number;
  readonly text: string;
  /** Of a JSON object; empty otherwise. */
  readonly body: Record<string, unknown> & { readonly access_token?: string; readonly id?: string };
}

let database: TestDatabase;
let postgres: FlakyProxy;
let smtp: FakeSmtp;
let server: ServerProcess;
let admin = '';
const canaries = new Canaries();
const fresh = (name: string): string => canaries.password(name);

/** One request. Nothing that was a secret before may be in the answer; what it tells anew, the caller adds afterwards. */
async function tell(method: string, path: string, body?: unknown, headers: Record<string, string> = { authorization: `Bearer ${admin}` }): Promise<Told> {
  const base = path.startsWith('/internal') ? server.ports.internal : server.ports.rest;
  const response = await fetch(`http://127.0.0.1:${base}/api/v1${path}`, {
    method,
    headers: { ...(body === undefined ? {} : JSON_TYPE), ...headers },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  canaries.seek(`the answer ${response.status} of ${method} ${path}`, `${text}${JSON.stringify([...response.headers])}`);
  let parsed: unknown = {};
  if (/json/.test(response.headers.get('content-type') ?? '')) {
    try {
      parsed = JSON.parse(text);
    } catch {
      // Several lines.
    }
  }
  return { status: response.status, text, body: parsed as Told['body'] };
}

const basic = (user: string, password: string) => ({ authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` });
const callback = (question: unknown, headers: Record<string, string> = { 'x-internal-auth': server.secret }) => tell('POST', '/internal/mqtt-auth', question, headers);

/** Every door that is shown a secret, with what is right and what is wrong. `name` tells the rounds apart. */
async function knock(name: string, device: RegisteredDevice & { privateKey: string }): Promise<void> {
  const wrong = (door: string) => fresh(`wrong ${door}, ${name}`);
  await tell('POST', '/auth/login', { email: ADMIN.email, password: wrong('password') }, {});
  await tell('POST', '/auth/login', { email: `${randomUUID()}@example.test`, password: wrong('password of nobody') }, {});
  await tell('POST', '/auth/login', { email: ADMIN.email, password: { nested: wrong('password of a wrong type') } }, {});
  await tell('POST', '/auth/refresh', { refresh_token: `pcr_${wrong('refresh token')}` }, {});
  await tell('POST', '/auth/refresh', {}, { cookie: `refresh_token=${wrong('refresh cookie')}` });
  await tell('POST', '/auth/password/reset', { token: `pcp_${wrong('recovery token')}`, newPassword: wrong('new password') }, {});
  await tell('POST', '/auth/email/confirm', { token: `pce_${wrong('confirmation')}` }, {});
  await tell('POST', '/invitations/accept', { token: `pci_${wrong('invitation')}`, password: wrong('first password'), name: 'x' }, {});
  await tell('POST', '/auth/password/change', { currentPassword: wrong('current password'), newPassword: wrong('next password') });
  await tell('POST', '/auth/email/change', { newEmail: 'other@example.test', password: wrong('password for an address') });
  await tell('POST', '/users', { email: 'nobody', password: wrong('password of a new user'), name: 'x' });
  for (const kind of ['Bearer', 'Basic', 'Digest']) await tell('GET', '/devices', undefined, { authorization: `${kind} ${wrong(`${kind} header`)}` });
  await tell('GET', '/devices', undefined, { cookie: `access_token=${wrong('access cookie')}` });
  await tell('GET', '/devices', undefined, { authorization: `Bearer pat_${'A'.repeat(22)}_${wrong('access token')}` });
  await tell('POST', '/devices', { slug: 'x' }, { 'x-admin-key': wrong('admin key') });
  await tell('POST', `/devices/${device.id}/token`, {}, basic(device.id, `pcs_${wrong('client secret')}`));
  await tell('POST', `/devices/${device.id}/token`, {}, basic(wrong('user name'), device.client_secret));
  await tell('POST', `/devices/${device.id}/certificates`, { generate: true, password: { deep: wrong('passphrase of a wrong type') } });
  await tell('POST', `/devices/${device.id}/certificates`, { csr: `-----BEGIN PRIVATE KEY-----\n${wrong('key instead of a request')}\n-----END PRIVATE KEY-----` });
  for (const password of [device.client_secret, device.access_token, `pcs_${wrong('broker password')}`, `eyJ.${wrong('broker token')}.x`, wrong('anything')]) {
    const asked = await callback({ clientid: device.id, username: device.id, password, listener_kind: 'plain' });
    expect(asked.status).toBe(200);
  }
  await callback({ clientid: device.id, username: device.id, password: wrong('x') }, { 'x-internal-auth': wrong('internal secret') });
  await callback(`{"clientid":"${device.id}","password":"${wrong('password in what is no JSON')}`);
  await callback(`clientid=${device.id}&password=${wrong('password of a form')}&%zz`, { 'x-internal-auth': server.secret, 'content-type': 'application/x-www-form-urlencoded' });
  for (const password of [device.client_secret, `pcs_${wrong('MQTT password')}`]) {
    const connected = await mqttConnect(server.ports.mqtt, { clientId: device.id, username: device.id, password }).catch(() => null);
    connected?.client.end(true);
  }
}

/** A body of each operation with a secret where one belongs, where none does, and in what is no JSON at all. */
async function misuse(): Promise<number> {
  const document = await (await fetch(`http://127.0.0.1:${server.ports.rest}/docs/openapi.json`)).json() as OpenApi;
  const written = operationsOf(document).filter(({ body, path }) => body !== undefined && !/logout|\/pats$/.test(path));
  for (const { method, path, body, access } of written) {
    const target = path.replace(/\{\w+\}/g, () => randomUUID());
    const headers: Record<string, string> = access === 'public' ? {} : { authorization: `Bearer ${admin}` };
    const of = `${method} ${path}`;
    await tell(method, target, `{"password":"${fresh(`broken JSON of ${of}`)}`, headers);
    await tell(method, target, `"${fresh(`JSON text of ${of}`)}"`, headers);
    await tell(method, target, [fresh(`JSON list of ${of}`)], headers);
    await tell(method, target, { ...(body as object), surplus: fresh(`surplus member of ${of}`) }, headers);
    await tell(method, target, fresh(`text of ${of}`), { ...headers, 'content-type': 'text/plain' });
    for (const member of Object.keys(body as object).filter((name) => SECRET_FIELD.test(name))) {
      await tell(method, target, { ...(body as object), [member]: [fresh(`list as ${member} of ${of}`)] }, headers);
      await tell(method, target, { ...(body as object), [member]: fresh(`${member} of ${of}`).repeat(500) }, headers);
    }
  }
  return written.length;
}

beforeAll(async () => {
  smtp = await FakeSmtp.start();
  database = await cloneDatabase();
  postgres = await FlakyProxy.before(database.url);
  server = await ServerProcess.prepare({ ...database, url: postgres.route(database.url) }, {
    LOG_LEVEL: 'debug', SMTP_URL: smtp.url, MAIL_FROM: 'portcullis@example.test', REGISTRATION: 'open',
  }, 64 * 1024 * 1024);
  await server.start();
  for (const [name, value] of Object.entries(server.secrets)) canaries.add(name, value);
});

afterAll(async () => {
  await server.remove();
  await postgres.close();
  await database.drop();
  await smtp.stop();
});

describe('a secret that was told or shown once', () => {
  it('is met again in no answer, list, export, log line, metric or table, whatever goes wrong', async () => {
    const login = await tell('POST', '/auth/login', ADMIN, {});
    admin = canaries.add('access token', login.body.access_token);
    canaries.add('refresh token', login.body['refresh_token'] as string);
    const browser = await fetch(`http://127.0.0.1:${server.ports.rest}/api/v1/auth/login`, {
      method: 'POST', headers: JSON_TYPE, body: JSON.stringify({ ...ADMIN, transport: 'cookie' }),
    });
    for (const line of browser.headers.getSetCookie()) canaries.add('cookie', /^[^=]+=([^;]+)/.exec(line)?.[1]);
    canaries.add('CSRF token', browser.headers.get('x-csrf-token') ?? undefined);

    const registered = await tell('POST', '/devices', { slug: 'canary', credentials: ['secret', 'token', 'hmac', 'certificate'] });
    expect(registered.status).toBe(201);
    const device = registered.body as unknown as RegisteredDevice & { certificate: { privateKey: string } };
    for (const kind of ['client_secret', 'access_token', 'hmac_secret'] as const) canaries.add(kind, device[kind]);
    const keyOf = (pem: string | undefined) => pem?.split('\n')[2];
    canaries.add('private key', keyOf(device.certificate.privateKey));
    const passphrase = fresh('passphrase of PKCS #12');
    const bag = await tell('POST', `/devices/${device.id}/certificates`, { generate: true, password: passphrase });
    canaries.add('private key of a bag', keyOf(bag.body['privateKey'] as string));
    canaries.add('PKCS #12', (bag.body['pkcs12'] as string).slice(0, 200));
    const rotations: [string, string][] = [['rotate-client-secret', 'client_secret'], ['rotate-secret', 'hmac_secret'], ['token', 'access_token']];
    for (const [verb, member] of rotations) {
      // Twice under one key: the replay may tell it again, so it is sought only afterwards.
      const headers = { authorization: `Bearer ${admin}`, 'idempotency-key': randomUUID() };
      await tell('POST', `/devices/${device.id}/${verb}`, {}, headers);
      const told = await tell('POST', `/devices/${device.id}/${verb}`, {}, headers);
      canaries.add(`${member} by ${verb}`, told.body[member] as string);
    }
    const bulk = await tell('POST', '/devices/bulk', '{"slug":"in-bulk","credentials":["secret","hmac"]}\n', { authorization: `Bearer ${admin}`, 'content-type': 'application/x-ndjson' });
    canaries.add('client secret in bulk', /"client_secret":"([^"]+)"/.exec(bulk.text)?.[1]);
    canaries.add('signing secret in bulk', /"hmac_secret":"([^"]+)"/.exec(bulk.text)?.[1]);
    const service = await tell('POST', '/service-accounts', { name: 'bridge' });
    canaries.add('service secret', service.body['client_secret'] as string);
    const pat = await tell('POST', '/pats', { name: 'x', duration: '1h', scopes: ['devices.device.read'] });
    const bearer = canaries.add('personal access token', pat.body['secret'] as string);
    expect((await tell('GET', '/devices', undefined, { authorization: `Bearer ${bearer}` })).status).toBe(200);
    const renewed = await tell('PATCH', `/pats/${pat.body.id}/reset`, {});
    canaries.add('renewed access token', renewed.body['secret'] as string);

    const person = { email: 'person@example.test', password: fresh('password'), name: 'Person' };
    expect((await tell('POST', '/users', { ...person, role: 'VIEWER' })).status).toBe(201);
    await tell('POST', '/auth/password/forgot', { email: person.email }, {});
    await tell('POST', '/invitations', { email: 'guest@example.test', role: 'VIEWER' });
    await tell('POST', '/auth/email/change', { newEmail: 'root@example.test', password: ADMIN.password });
    await until('three kinds of mail', () => smtp.mails.length >= 4);
    const recovery = canaries.add('recovery link', smtp.tokens(person.email, 'pcp_')[0]);
    const invitation = canaries.add('invitation', smtp.tokens('guest@example.test', 'pci_')[0]);
    const confirmation = canaries.add('confirmation', smtp.tokens('root@example.test', 'pce_')[0]);
    expect((await tell('POST', '/auth/password/reset', { token: recovery, newPassword: fresh('new password') }, {})).status).toBe(200);
    expect((await tell('POST', '/invitations/accept', { token: invitation, password: fresh('password of a guest'), name: 'Guest' }, {})).status).toBe(200);
    expect((await tell('POST', '/auth/email/confirm', { token: confirmation }, {})).status).toBe(200);

    const known = { ...device, privateKey: device.certificate.privateKey };
    await knock('all well', known);
    expect(await misuse()).toBeGreaterThan(30);
    // A statement that Postgres refuses: its message and its parameters are not for the log.
    await administer(database.url, (client) => client.query(
      `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused: %', to_jsonb(NEW); END $$;
       ${['credentials', 'users', 'personal_access_tokens', 'sessions'].map((table) =>
        `CREATE TRIGGER refuse BEFORE INSERT ON ${table} FOR EACH ROW EXECUTE FUNCTION refuse();`).join('\n')}`,
    ));
    const refusedPassword = fresh('password of a refused user');
    const failed = [
      await tell('POST', '/users', { email: 'refused@example.test', password: refusedPassword, name: 'x' }),
      await tell('POST', '/devices', { slug: 'refused' }),
      await tell('POST', '/pats', { name: 'x', duration: '1h', scopes: [] }),
      await tell('POST', '/auth/login', ADMIN, {}),
    ];
    expect(failed.map(({ status }) => status)).toEqual([500, 500, 500, 500]);
    await smtp.stop();
    await tell('POST', '/auth/password/forgot', { email: person.email }, {});

    await crawl(device.id);
    postgres.cut();
    await knock('Postgres gone', known);
    postgres.heal();
    await server.stop();
    for (const said of ['a request was refused', 'a request failed', 'CONNECT refused']) expect(server.output.includes(said)).toBe(true);
    for (const line of server.output.split('\n')) {
      canaries.seek(`the log, ${line.slice(0, 200)}`, line);
      // Not the secret itself, but what a thief would guess it from.
      if (/\$2b\$\d\d\$/.test(line)) canaries.met.push(`the log: the hash of a password, ${line.slice(0, 200)}`);
    }
    expect(canaries.size).toBeGreaterThan(200);
    expect([...new Set(canaries.met)]).toEqual([]);
  });
});

/** Everything that can be read: by REST, on the internal port, in the tables. */
async function crawl(deviceId: string): Promise<void> {
  const document = await (await fetch(`http://127.0.0.1:${server.ports.rest}/docs/openapi.json`)).json() as OpenApi;
  const reads = operationsOf(document).filter(({ method, streams }) => method === 'GET' && !streams);
  for (const { path, query } of reads) await tell('GET', `${path.replace(/\{\w+\}/g, deviceId)}${query}`);
  for (let cursor = ''; ;) {
    const page = await tell('GET', `/audit/logs?limit=200${cursor}`);
    if (typeof page.body['nextCursor'] !== 'string') break;
    cursor = `&cursor=${encodeURIComponent(page.body['nextCursor'])}`;
  }
  for (const path of ['/metrics', '/health/ready', '/health/live']) {
    canaries.seek(path, await (await fetch(`http://127.0.0.1:${server.ports.internal}${path}`)).text());
  }
  await administer(database.url, async (client) => {
    await client.query(`SET ROLE ${ROLE_PREFIX}_migrator`);
    const { rows } = await client.query<{ name: string }>(
      `SELECT c.relname AS name FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition`,
    );
    for (const { name } of rows) {
      const table = await client.query<{ row: string }>(`SELECT to_jsonb(t)::text AS row FROM ${name} t`);
      canaries.seek(`the table ${name}`, table.rows.map(({ row }) => row).join('\n'));
    }
  });
}
