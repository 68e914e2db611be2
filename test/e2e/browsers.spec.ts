import { ADMIN, TestApp } from '../factories/app.js';
import { cloneDatabase, type TestDatabase } from '../factories/database.js';
import { testConfig } from '../factories/room.js';

const ADMIN_ORIGIN = 'https://console.example.com';
const OTHER_ORIGIN = 'https://ops.example.com:8443';

/** What an attacker's page could call itself: near the allowed ones, and everything that lists were seen to let through. */
const FOREIGN = [
  'https://console.example.com.attacker.example', 'https://attacker.example/https://console.example.com', 'https://consoleXexample.com',
  'https://notconsole.example.com', 'https://sub.console.example.com', 'http://console.example.com', 'https://console.example.com:444',
  'https://CONSOLE.example.com.', 'https://console.example.com/', 'https://console.example.com%60.attacker.example', 'https://console.example.com_.attacker.example',
  'https://ops.example.com', 'https://console.example.com@attacker.example', 'null', 'file://', '*', 'https://xn--cnsole-wxa.example.com', 'https://localhost', 'http://127.0.0.1',
  `${ADMIN_ORIGIN} ${OTHER_ORIGIN}`, `${ADMIN_ORIGIN},${OTHER_ORIGIN}`,
];

let database: TestDatabase;
let app: TestApp;

beforeAll(async () => {
  database = await cloneDatabase();
  const config = testConfig(database, {
    ADMIN_EMAIL: ADMIN.email, ADMIN_PASSWORD: ADMIN.password, ADMIN_URL: ADMIN_ORIGIN, CORS_ORIGINS: OTHER_ORIGIN,
  });
  app = await TestApp.start({ database, config: { ...config, production: true, http: { ...config.http, publicUrl: 'https://iot.example.com' } } });
});
afterAll(async () => {
  await app.stop();
  await database.drop();
});

const ask = (path: string, init: RequestInit = {}): Promise<Response> => fetch(`${app.url}${path}`, init);
const crossOrigin = (headers: Headers): Record<string, string | null> =>
  Object.fromEntries(['access-control-allow-origin', 'access-control-allow-credentials'].map((name) => [name, headers.get(name)]));

/** One of each kind of answer: good, refused by each layer, static, unknown, malformed. */
const ANSWERS: readonly { readonly what: string; readonly status: number; readonly path: string; readonly init?: () => RequestInit }[] = [
  { what: 'a good answer', status: 200, path: '/api/v1/devices', init: () => ({ headers: { authorization: `Bearer ${app.adminToken}` } }) },
  { what: 'no credential', status: 401, path: '/api/v1/devices' },
  { what: 'a wrong one', status: 401, path: '/api/v1/devices', init: () => ({ headers: { authorization: 'Bearer x' } }) },
  { what: 'an unknown thing', status: 404, path: '/api/v1/devices/x', init: () => ({ headers: { authorization: `Bearer ${app.adminToken}` } }) },
  { what: 'an unknown path', status: 404, path: '/nowhere' },
  { what: 'a path that is none', status: 400, path: '/%zz' },
  { what: 'no JSON', status: 400, path: '/api/v1/auth/login', init: () => ({ method: 'POST', headers: { 'content-type': 'application/json' }, body: '{' }) },
  { what: 'an unknown type', status: 415, path: '/api/v1/auth/login', init: () => ({ method: 'POST', headers: { 'content-type': 'text/plain' }, body: 'x' }) },
  { what: 'too large a body', status: 413, path: '/api/v1/auth/login', init: () => ({ method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ email: 'x'.repeat(70_000) }) }) },
  { what: 'the description', status: 200, path: '/docs/openapi.json' },
  { what: 'the page of errors', status: 200, path: '/docs/errors' },
  { what: 'the keys', status: 200, path: '/.well-known/jwks.json' },
  { what: 'the authority', status: 200, path: '/pki/ca.pem' },
];

describe('a browser', () => {
  it.each(ANSWERS)('is told its limits with $what', async ({ status, path, init }) => {
    const answer = await ask(path, init?.());
    const { headers } = answer;
    expect(answer.status).toBe(status);
    expect({
      hsts: headers.get('strict-transport-security'), sniff: headers.get('x-content-type-options'), powered: headers.get('x-powered-by'), server: headers.get('server'),
    }).toEqual({ hsts: 'max-age=63072000; includeSubDomains', sniff: 'nosniff', powered: null, server: null });
    expect(headers.get('content-security-policy')).toMatch(/(^|;)\s*frame-ancestors 'none'/);
    expect(headers.get('content-security-policy')).not.toMatch(/unsafe-eval|script-src[^;]*unsafe-inline/);
  });

  it('of an origin on the list may read answers with its cookies, by that origin’s own name', async () => {
    for (const origin of [ADMIN_ORIGIN, OTHER_ORIGIN]) {
      const { headers } = await ask('/api/v1/devices', { headers: { origin, authorization: `Bearer ${app.adminToken}` } });
      expect(crossOrigin(headers)).toEqual({ 'access-control-allow-origin': origin, 'access-control-allow-credentials': 'true' });
      expect(headers.get('vary')).toMatch(/origin/i);
      const preflight = await ask('/api/v1/devices', {
        method: 'OPTIONS',
        headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-evil, authorization, cookie, x-internal-auth' },
      });
      expect(crossOrigin(preflight.headers)['access-control-allow-origin']).toBe(origin);
      // A fixed list, never the one that is asked for.
      expect(preflight.headers.get('access-control-allow-headers')).not.toMatch(/x-evil|cookie|x-internal-auth|x-admin-key/);
      expect(preflight.headers.get('access-control-allow-methods')).toBe('GET, POST, PATCH, PUT, DELETE');
    }
  });

  it.each(FOREIGN)('of the origin %s may read nothing, is not echoed, and its preflights allow nothing', async (origin) => {
    for (const path of ['/api/v1/devices', '/api/v1/auth/login', '/.well-known/jwks.json', '/docs/openapi.json', '/nowhere']) {
      for (const method of ['GET', 'OPTIONS']) {
        const answer = await ask(path, { method, headers: { origin, ...(method === 'OPTIONS' ? { 'access-control-request-method': 'POST' } : {}) } });
        const allowed = answer.headers.get('access-control-allow-origin');
        expect({ path, method, allowed: allowed === null || allowed === ADMIN_ORIGIN ? null : allowed }).toEqual({ path, method, allowed: null });
        expect(allowed).not.toBe(origin);
      }
    }
  });

  it('that another site makes post a form, or anything with its cookie, changes nothing', async () => {
    const login = await ask('/api/v1/auth/login', {
      method: 'POST', headers: { 'content-type': 'application/json', origin: ADMIN_ORIGIN }, body: JSON.stringify({ ...ADMIN, transport: 'cookie' }),
    });
    const cookie = login.headers.getSetCookie().map((line) => line.split(';')[0]).join('; ');
    for (const line of login.headers.getSetCookie()) expect(line).toMatch(/^__Host-[^;]+;(?=.*HttpOnly)(?=.*Secure)(?=.*SameSite=Strict)(?!.*Domain)/i);
    for (const type of ['application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'text/plain']) {
      const posted = await ask('/api/v1/devices', { method: 'POST', headers: { cookie, origin: 'https://attacker.example', 'content-type': type }, body: 'slug=taken' });
      expect([403, 415]).toContain(posted.status);
    }
    const json = await ask('/api/v1/devices', { method: 'POST', headers: { cookie, 'content-type': 'application/json' }, body: '{"slug":"taken"}' });
    expect([json.status, ((await json.json()) as { code: string }).code]).toEqual([403, 'CSRF_TOKEN_INVALID']);
    const list = await ask('/api/v1/devices', { headers: { cookie } });
    expect([list.status, ((await list.json()) as { items: unknown[] }).items]).toEqual([200, []]);
    const csrf = login.headers.get('x-csrf-token') ?? '';
    const own = await ask('/api/v1/devices', { method: 'POST', headers: { cookie, 'x-csrf-token': csrf, 'content-type': 'application/json' }, body: '{"slug":"mine"}' });
    expect(own.status).toBe(201);
  });
});
