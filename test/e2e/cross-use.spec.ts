import { Letters } from '../../src/auth/letters.js';
import { ADMIN, request, TestApp, type Reply } from '../factories/app.js';
import { operationsOf, type OpenApi } from '../factories/operations.js';
import { administer, ROLE_PREFIX } from '../factories/database.js';
import { FakeSmtp } from '../fakes/fake-smtp.js';

let app: TestApp;
let smtp: FakeSmtp;
let deviceId = '';
let serviceId = '';
/** One living credential of each kind. */
const kinds: Record<string, string> = {};

beforeAll(async () => {
  smtp = await FakeSmtp.start();
  app = await TestApp.start({ env: { SMTP_URL: smtp.url } });
  const login = await app.call<{ access_token: string; refresh_token: string }>('POST', '/auth/login', ADMIN, {});
  const device = await app.registerDevice('pump');
  const service = await app.call<{ id: string; client_secret: string }>('POST', '/service-accounts', { name: 'bridge' });
  const pat = await app.call<{ secret: string }>('POST', '/pats', { name: 'x', duration: '1h', scopes: ['devices.device.read', 'devices.token.rotate'] });
  await app.call('POST', '/auth/password/forgot', { email: ADMIN.email }, {});
  await app.call('POST', '/invitations', { email: 'guest@example.test', role: 'VIEWER' });
  await app.call('POST', '/auth/email/change', { newEmail: 'root@example.test', password: ADMIN.password });
  await app.app.get(Letters).settled();
  [deviceId, serviceId] = [device.id, service.body.id];
  const browser = await app.call('POST', '/auth/login', { ...ADMIN, transport: 'cookie' }, {});
  const signing = (await app.call<{ hmac_secret: string }>('POST', `/devices/${device.id}/rotate-secret`, {})).body.hmac_secret;
  Object.assign(kinds, {
    web: login.body.access_token,
    refresh: login.body.refresh_token,
    pat: pat.body.secret,
    recovery: smtp.tokens(ADMIN.email, 'pcp_')[0],
    confirmation: smtp.tokens(ADMIN.email, 'pce_')[0],
    invitation: smtp.tokens('guest@example.test', 'pci_')[0],
    'device token': device.access_token,
    'client secret': device.client_secret,
    'service secret': service.body.client_secret,
    'admin key': app.config.adminKey,
    'internal secret': app.config.internal.secrets[0] ?? '',
    'signing secret': signing,
    'CSRF token': browser.headers.get('x-csrf-token') ?? '',
    'mark of a known browser': browser.headers.getSetCookie().map((line) => /^known_browser=([^;]+)/.exec(line)?.[1]).find(Boolean) ?? '',
  });
});

afterAll(async () => {
  await app.stop();
  await smtp.stop();
});

const basic = (user: string, password: string) => ({ authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` });
const opened = ({ status }: Reply<unknown>): boolean => status < 300;
const allowed = ({ body }: Reply<{ result: string }>): boolean => body.result === 'allow';

/** Each door, whom it lets in, and how it is tried. Doors that spend what they are shown come last. */
const DOORS: readonly (readonly [door: string, opensTo: readonly string[], tryIt: (token: string) => Promise<boolean>])[] = [
  ['REST as bearer', ['web', 'pat'], async (token) => opened(await app.call('GET', '/devices', undefined, { authorization: `Bearer ${token}` }))],
  ['self routes as bearer', ['web'], async (token) => opened(await app.call('GET', '/pats', undefined, { authorization: `Bearer ${token}` }))],
  ['the access cookie', ['web'], async (token) => opened(await app.call('GET', '/devices', undefined, { cookie: `access_token=${token}` }))],
  ['the admin key', ['admin key'], async (token) => (await app.call('POST', '/devices', {}, { 'x-admin-key': token })).status === 400],
  ['Basic of the device', ['client secret'], async (token) => opened(await app.call('POST', `/devices/${deviceId}/token`, {}, basic(deviceId, token)))],
  ['Basic of the service account', [], async (token) => opened(await app.call('POST', `/devices/${deviceId}/token`, {}, basic(`svc:${serviceId}`, token)))],
  ['the broker, as the device', ['client secret', 'device token'],
    async (password) => allowed(await app.ask('mqtt-auth', { clientid: deviceId, username: deviceId, password }))],
  ['the broker, as the service account', ['service secret'],
    async (password) => allowed(await app.ask('mqtt-auth', { clientid: `svc:${serviceId}`, username: `svc:${serviceId}`, password }))],
  ['the callbacks', ['internal secret'], async (token) => {
    const answer = await request(`http://127.0.0.1:${app.internalPort}/api/v1/internal/mqtt-auth`, 'POST', { 'x-internal-auth': token }, {});
    return answer.status === 200;
  }],
  ['confirmation of an address', ['confirmation'], async (token) => opened(await app.call('POST', '/auth/email/confirm', { token }, {}))],
  ['acceptance of an invitation', ['invitation'],
    async (token) => opened(await app.call('POST', '/invitations/accept', { token, password: 'vbx7-aqk-lantern', name: 'Guest' }, {}))],
  ['refresh', ['refresh'], async (token) => opened(await app.call('POST', '/auth/refresh', { refresh_token: token }, {}))],
  ['recovery', ['recovery'], async (token) => opened(await app.call('POST', '/auth/password/reset', { token, newPassword: 'vbx7-aqk-lantern' }, {}))],
];

describe('a secret', () => {
  it('is in no answer of a read, no export of the security log, and no table as it was told', async () => {
    const document = await request<OpenApi>(`${app.url}/docs/openapi.json`, 'GET', {});
    const reads = operationsOf(document.body).filter(({ method, streams }) => method === 'GET' && !streams);
    const collections: Record<string, string> = { devices: deviceId, 'service-accounts': serviceId };
    const secrets = Object.entries(kinds).filter(([kind]) => kind !== 'web');
    expect(reads.length).toBeGreaterThan(15);
    const told: string[] = [];
    for (const { path } of reads) {
      const filled = path.replace('{id}', collections[path.split('/')[1] ?? ''] ?? deviceId);
      const response = await fetch(`${app.url}/api/v1${filled}`, { headers: { authorization: `Bearer ${app.adminToken}` } });
      const text = await response.text() + JSON.stringify([...response.headers]);
      told.push(...secrets.filter(([, secret]) => text.includes(secret)).map(([kind]) => `${path} tells the ${kind}`));
    }
    await administer(app.database.url, async (client) => {
      await client.query(`SET ROLE ${ROLE_PREFIX}_migrator`);
      const { rows } = await client.query<{ name: string }>(
        `SELECT c.relname AS name FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition`,
      );
      for (const { name } of rows) {
        const table = await client.query<{ row: string }>(`SELECT to_jsonb(t)::text AS row FROM ${name} t`);
        const text = table.rows.map(({ row }) => row).join('\n');
        told.push(...secrets.filter(([, secret]) => text.includes(secret)).map(([kind]) => `the table ${name} holds the ${kind}`));
      }
    });
    expect(told).toEqual([]);
  });

  it('opens its own door and no other, whichever kinds there are', async () => {
    const wrong: string[] = [];
    expect(Object.values(kinds).filter((token) => token === undefined || token === '')).toEqual([]);
    for (const [door, opensTo, tryIt] of DOORS) {
      for (const [kind, token] of Object.entries(kinds)) {
        const opens = await tryIt(token);
        if (opens !== opensTo.includes(kind)) wrong.push(`${door} ${opens ? 'opened to' : 'stayed shut to'} the ${kind}`);
      }
    }
    expect(wrong).toEqual([]);
  });
});
