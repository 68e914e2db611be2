import { openPeople, type Answer, type People } from '../factories/people.js';

const PRODUCTION = (config: People['config']): People['config'] => ({
  ...config,
  production: true,
  http: { ...config.http, publicUrl: 'https://portcullis.example' },
});

interface Browser {
  readonly cookies: Record<string, string>;
  readonly csrf: string;
}

const jarOf = (answer: Answer): Browser => ({
  cookies: Object.fromEntries([...answer.cookies].map(([name, { value }]) => [name, value])),
  csrf: String(answer.headers['x-csrf-token']),
});

describe.each([
  ['in production', true, '__Host-'],
  ['on plain http in development', false, ''],
] as const)('cookie transport %s', (_, production, prefix) => {
  let people: People;
  const ACCESS = `${prefix}access_token`;
  const REFRESH = `${prefix}refresh_token`;
  const enter = (options = {}) => people.login(undefined, undefined, { ...options, body: { transport: 'cookie' } });

  beforeAll(async () => {
    people = await openPeople(production ? { change: PRODUCTION } : {});
  });
  afterAll(() => people.close());

  it('hands the tokens out of reach of scripts, and none in the body', async () => {
    const answer = await enter();
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({ expires_in: 3600 });
    const expected = ['HttpOnly', 'Path=/', 'SameSite=Strict', ...(production ? ['Secure'] : [])].sort();
    for (const [name, ttl] of [[ACCESS, 3600], [REFRESH, 86_400], [`${prefix}known_browser`, 31_536_000]] as const) {
      const { value, attributes } = answer.cookies.get(name) ?? { value: '', attributes: [] };
      expect(value).not.toBe('');
      expect([...attributes].filter((attribute) => !attribute.startsWith('Max-Age')).sort()).toEqual(expected);
      expect(attributes).toContain(`Max-Age=${ttl}`);
    }
    expect(answer.headers['x-csrf-token']).toMatch(/^[A-Za-z0-9_-]{43}$/);
    for (const { value } of answer.cookies.values()) expect(value).not.toContain(String(answer.headers['x-csrf-token']));
  });

  it('authenticates by the cookie of that name only', async () => {
    const { cookies } = jarOf(await enter());
    expect((await people.call('GET', '/auth/me', { cookies })).status).toBe(200);
    const otherName = production ? 'access_token' : '__Host-access_token';
    expect((await people.call('GET', '/auth/me', { cookies: { [otherName]: cookies[ACCESS] ?? '' } })).status).toBe(401);
    expect((await people.call('GET', '/auth/me', { cookies: { [ACCESS]: cookies[REFRESH] ?? '' } })).status).toBe(401);
  });

  it('needs the CSRF token of its own session for every write', async () => {
    const { cookies, csrf } = jarOf(await enter());
    const foreign = jarOf(await enter());
    expect(foreign.csrf).not.toBe(csrf);
    const write = (headers: Record<string, string>) => people.call('POST', '/probe/write', { cookies, headers, body: {} });
    for (const given of [undefined, '', foreign.csrf, `${csrf}x`, `${csrf}, ${csrf}`]) {
      const answer = await write(given === undefined ? {} : { 'x-csrf-token': given });
      expect([answer.status, answer.body.code]).toEqual([403, 'CSRF_TOKEN_INVALID']);
    }
    expect((await write({ 'x-csrf-token': csrf })).status).toBe(200);
    for (const [method, path] of [
      ['PATCH', '/users/x'], ['DELETE', '/users/x'], ['POST', '/auth/logout'], ['DELETE', '/auth/sessions/x'],
    ] as const) {
      expect((await people.call(method, path, { cookies })).body.code).toBe('CSRF_TOKEN_INVALID');
    }
    expect((await people.call('GET', '/probe/read', { cookies })).status).toBe(200);
  });

  it('has nothing to do with bearer tokens: they never need a CSRF token', async () => {
    expect((await people.call('POST', '/probe/write', { token: people.adminToken, body: {} })).status).toBe(200);
  });

  it('refuses a cookie and a header that disagree', async () => {
    const { cookies, csrf } = jarOf(await enter());
    const both = await people.call('GET', '/auth/me', { cookies, token: people.adminToken });
    expect([both.status, both.body.code]).toEqual([401, 'CREDENTIALS_DISAGREE']);
    const basic = { authorization: `Basic ${Buffer.from('a:b').toString('base64')}`, 'x-csrf-token': csrf };
    expect((await people.call('GET', '/auth/me', { cookies, headers: basic })).body.code).toBe('CREDENTIALS_DISAGREE');
    expect((await people.call('GET', '/auth/me', { cookies, token: cookies[ACCESS] })).status).toBe(200);
  });

  it('refreshes cookie to cookie, with the CSRF token, and answers the next one', async () => {
    const first = jarOf(await enter());
    const refresh = (cookies: Record<string, string>, headers = {}, body?: object) =>
      people.call('POST', '/auth/refresh', { cookies, headers, ...(body ? { body } : {}) });
    expect((await refresh({ [REFRESH]: first.cookies[REFRESH] ?? '' })).body.code).toBe('CSRF_TOKEN_INVALID');
    const answer = await refresh({ [REFRESH]: first.cookies[REFRESH] ?? '' }, { 'x-csrf-token': first.csrf });
    expect([answer.status, answer.body]).toEqual([200, { expires_in: 3600 }]);
    const second = jarOf(answer);
    expect(second.cookies[REFRESH]).not.toBe(first.cookies[REFRESH]);
    const headers = { 'x-csrf-token': second.csrf };
    expect((await people.call('POST', '/probe/write', { cookies: second.cookies, headers, body: {} })).status).toBe(200);
    const replay = await refresh(first.cookies, { 'x-csrf-token': first.csrf });
    expect(replay.body.code).toBe('REFRESH_TOKEN_INVALID');
    expect(replay.cookies.get(REFRESH)?.attributes).toContain('Max-Age=0');
    expect((await people.call('GET', '/auth/me', { cookies: second.cookies })).status).toBe(401);
  });

  it('never lets a token cross to the other transport', async () => {
    const browser = jarOf(await enter());
    const inBody = await people.call('POST', '/auth/refresh', { body: { refresh_token: browser.cookies[REFRESH] } });
    expect(inBody.status).toBe(401);
    expect(JSON.stringify(inBody.body)).not.toContain('pcr_');
    const tool = (await people.login()).body;
    const sid = (JSON.parse(Buffer.from((tool.access_token ?? '').split('.')[1] ?? '', 'base64url').toString()) as { sid: string }).sid;
    const { CsrfTokens } = await import('../../src/auth/csrf.js');
    const csrf = await people.app.get(CsrfTokens, { strict: false }).of(sid);
    const inCookie = await people.call('POST', '/auth/refresh', {
      cookies: { [REFRESH]: tool.refresh_token ?? '' }, headers: { 'x-csrf-token': csrf },
    });
    expect(inCookie.status).toBe(401);
    const both = await people.call('POST', '/auth/refresh', {
      cookies: browser.cookies, headers: { 'x-csrf-token': browser.csrf }, body: { refresh_token: tool.refresh_token },
    });
    expect(both.body.code).toBe('CREDENTIALS_DISAGREE');
    // None of this spent anything.
    expect((await people.call('POST', '/auth/refresh', { body: { refresh_token: tool.refresh_token } })).status).toBe(200);
    const renewed = await people.call('POST', '/auth/refresh', { cookies: browser.cookies, headers: { 'x-csrf-token': browser.csrf } });
    expect(renewed.status).toBe(200);
  });

  it('takes the cookies away on logout', async () => {
    const { cookies, csrf } = jarOf(await enter());
    const answer = await people.call('POST', '/auth/logout', { cookies, headers: { 'x-csrf-token': csrf } });
    expect(answer.status).toBe(200);
    for (const name of [ACCESS, REFRESH]) {
      expect(answer.cookies.get(name)?.value).toBe('');
      expect(answer.cookies.get(name)?.attributes).toContain('Max-Age=0');
    }
    expect((await people.call('GET', '/auth/me', { cookies })).status).toBe(401);
  });
});
