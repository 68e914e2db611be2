import { createHmac, generateKeyPairSync, randomBytes, randomUUID, sign } from 'node:crypto';
import { DEVICE, openPeople, PASSWORD, type People } from '../factories/people.js';

let people: People;
let claims: Record<string, unknown>;

const b64 = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const hs = (algorithm: string, key: string | Buffer) => (input: string) => createHmac(algorithm, key).update(input).digest('base64url');

function forge(header: object, payload: object, signer: (input: string) => string): string {
  const input = `${b64(header)}.${b64(payload)}`;
  return `${input}.${signer(input)}`;
}

beforeAll(async () => {
  people = await openPeople();
  claims = JSON.parse(Buffer.from(people.adminToken.split('.')[1] ?? '', 'base64url').toString()) as Record<string, unknown>;
});

afterAll(() => people.close());

const HEADER = { alg: 'HS256', typ: 'at+jwt' };
const ours = () => hs('sha256', people.config.web.jwtSecret);
const probe = (token: string) => people.call('GET', '/probe/session', { token });

describe('a web token', () => {
  it('bears who and where, and no right', () => {
    expect(JSON.parse(Buffer.from(people.adminToken.split('.')[0] ?? '', 'base64url').toString())).toEqual(HEADER);
    expect(claims).toEqual({
      iss: people.config.http.publicUrl, aud: 'portcullis-api', sub: expect.any(String), tid: people.tenantId, sid: expect.any(String),
      jti: expect.any(String), iat: expect.any(Number), exp: (claims['iat'] as number) + 3600,
    });
  });

  it('signed by us, with these very claims, is taken: the forgeries below differ in one thing each', async () => {
    expect((await probe(forge(HEADER, claims, ours()))).status).toBe(200);
  });

  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const signed = (algorithm: string, key: Parameters<typeof sign>[2]) => (input: string) =>
    sign(algorithm, Buffer.from(input), key).toString('base64url');
  const own = (change: object) => () => forge(HEADER, { ...claims, ...change }, ours());
  const header = (change: object) => () => forge({ ...HEADER, ...change }, claims, ours());

  const FORGERIES: readonly [string, () => string][] = [
    ['has no algorithm and no signature', () => `${b64({ ...HEADER, alg: 'none' })}.${b64(claims)}.`],
    ['has no algorithm, and a signature', () => forge({ ...HEADER, alg: 'none' }, claims, ours())],
    ['has an algorithm in odd case', () => forge({ ...HEADER, alg: 'nOnE' }, claims, () => '')],
    ['has a signature cut off', () => `${people.adminToken.split('.').slice(0, 2).join('.')}.`],
    ['is signed with another key', () => forge(HEADER, claims, hs('sha256', randomBytes(48)))],
    ['is signed with an empty key', () => forge(HEADER, claims, hs('sha256', ''))],
    ['is signed with the admin key', () => forge(HEADER, claims, hs('sha256', people.config.adminKey))],
    ['is signed with the broker’s secret', () => forge(HEADER, claims, hs('sha256', people.config.internal.secrets[0] ?? ''))],
    ['is signed under a longer hash', () => forge({ ...HEADER, alg: 'HS512' }, claims, hs('sha512', people.config.web.jwtSecret))],
    ['says HS512 over an HS256 signature', header({ alg: 'HS512' })],
    ['is signed with an RSA key of its own', () => forge({ ...HEADER, alg: 'RS256' }, claims, signed('sha256', rsa.privateKey))],
    ['is signed with an EC key of its own', () =>
      forge({ ...HEADER, alg: 'ES256' }, claims, signed('sha256', { key: ec.privateKey, dsaEncoding: 'ieee-p1363' } as never))],
    ['uses a public key as an HMAC secret', () =>
      forge(HEADER, claims, hs('sha256', rsa.publicKey.export({ type: 'spki', format: 'pem' }).toString()))],
    ['brings its own key', () => forge({ ...HEADER, jwk: { kty: 'oct', k: b64('k') } }, claims, hs('sha256', 'k'))],
    ['names a key by a path', () => forge({ ...HEADER, kid: '../../../../dev/null' }, claims, hs('sha256', ''))],
    ['names a key by SQL', header({ kid: `x' UNION SELECT 'k` })],
    ['names a key set elsewhere', header({ jku: 'https://attacker.example/jwks.json' })],
    ['names a certificate elsewhere', header({ x5u: 'https://attacker.example/c.pem' })],
    ['wants an extension understood', header({ crit: ['exp'] })],
    ['is of the type of any JWT', header({ typ: 'JWT' })],
    ['is of the type of a device token', header({ typ: 'device+jwt' })],
    ['is of no type', () => forge({ alg: 'HS256' }, claims, ours())],
    ['is for another audience', own({ aud: 'portcullis-mqtt' })],
    ['is for no audience', own({ aud: undefined })],
    ['is from another issuer', own({ iss: 'https://attacker.example' })],
    ['is from no issuer', own({ iss: undefined })],
    ['has expired', own({ iat: (Date.now() / 1000 | 0) - 7200, exp: (Date.now() / 1000 | 0) - 3600 })],
    ['never ends', own({ exp: undefined })],
    ['lives for a year', own({ exp: (Date.now() / 1000 | 0) + 31_536_000 })],
    ['begins tomorrow', own({ nbf: (Date.now() / 1000 | 0) + 86_400 })],
    ['names another account with this session', own({ sub: randomUUID() })],
    ['names another session', own({ sid: randomUUID() })],
    ['names another tenant', own({ tid: randomUUID() })],
    ['names no tenant', own({ tid: undefined })],
    ['claims to be a device', own({ sub: DEVICE.id, scope: 'device' })],
    ['has its payload exchanged', () => {
      const [head, , tail] = people.adminToken.split('.');
      return `${head}.${b64({ ...claims, sub: randomUUID() })}.${tail}`;
    }],
  ];

  it.each(FORGERIES)('that %s is refused, like every other', async (_, make) => {
    const answer = await probe(make());
    expect(answer.status).toBe(401);
    expect(answer.headers['www-authenticate']).toMatch(/^Bearer /);
    expect(['TOKEN_INVALID', 'UNAUTHENTICATED']).toContain(answer.body.code);
    expect(JSON.stringify(answer.body)).not.toMatch(/jwt|signature|issuer|audience|algorithm/i);
  });

  it('ends after an hour by the clock of the server', async () => {
    const own = await openPeople();
    try {
      own.clock.advance(3_599_000);
      expect((await own.call('GET', '/auth/me', { token: own.adminToken })).status).toBe(200);
      own.clock.advance(1000);
      expect((await own.call('GET', '/auth/me', { token: own.adminToken })).body.code).toBe('TOKEN_INVALID');
    } finally {
      await own.close();
    }
  });

  it('of one installation is nothing to another in the same process', async () => {
    const other = await openPeople();
    try {
      expect((await other.call('GET', '/auth/me', { token: people.adminToken })).status).toBe(401);
      expect((await people.call('GET', '/auth/me', { token: other.adminToken })).status).toBe(401);
      expect((await probe(people.adminToken)).status).toBe(200);
    } finally {
      await other.close();
    }
  });

  it('is not taken from the query or the body, and only once from the header', async () => {
    const token = people.adminToken;
    expect((await people.call('GET', `/probe/session?access_token=${token}`)).status).toBe(401);
    expect((await people.call('POST', '/probe/write', { body: { access_token: token } })).status).toBe(401);
    for (const authorization of [token, `Bearer ${token}, Bearer ${token}`]) {
      expect((await people.call('GET', '/probe/session', { headers: { authorization } })).status).toBe(401);
    }
  });
});

describe('the guard', () => {
  it('lets anybody into a public route, whatever credential they bear', async () => {
    expect((await people.call('GET', '/probe/public')).status).toBe(200);
    expect((await people.call('GET', '/probe/public', { token: 'a.b.c' })).status).toBe(200);
  });

  it('lets nobody into a route that does not say who may enter', async () => {
    for (const token of [undefined, people.adminToken]) {
      const answer = await people.call('GET', '/probe/undeclared', token === undefined ? {} : { token });
      expect([answer.status, answer.body.code]).toEqual([403, 'ACCESS_UNDECLARED']);
    }
  });

  it('asks for a credential as RFC 9110 wants it', async () => {
    const answer = await people.call('GET', '/probe/read');
    expect([answer.status, answer.body.code]).toEqual([401, 'UNAUTHENTICATED']);
    expect(answer.headers['www-authenticate']).toBe('Bearer realm="portcullis"');
    expect(answer.headers['content-type']).toMatch('application/problem+json');
    const forged = await people.call('GET', '/probe/read', { token: 'a.b.c' });
    expect(forged.headers['www-authenticate']).toMatch('error="invalid_token"');
  });

  it('names the permission that is missing, and tells the security log', async () => {
    const id = await people.member('viewer@example.org', 'VIEWER');
    const token = await people.tokenOf('viewer@example.org');
    expect((await people.call('GET', '/probe/read', { token })).status).toBe(200);
    const denied = await people.call('POST', '/probe/write', { token, body: {} });
    expect([denied.status, denied.body.code]).toEqual([403, 'PERMISSION_DENIED']);
    expect(denied.body['detail']).toContain('devices.device.update');
    const [event] = (await people.audited('ACCESS_DENIED')).filter((row) => row.actor_id === id);
    const details = { reason: 'PERMISSION_DENIED', method: 'POST', path: '/api/v1/probe/write' };
    expect(event).toMatchObject({ tenant_id: people.tenantId, details });
    await people.call('GET', '/probe/read', { token: 'a.b.c', address: '192.0.2.77' });
    const failures = await people.audited('AUTH_FAILURE');
    expect(failures.some((row) => row.details['reason'] === 'TOKEN_INVALID')).toBe(true);
  });

  it('takes X-Tenant for the own tenant, by id or slug, and knows no other', async () => {
    await people.tenant('elsewhere');
    const [elsewhere] = await people.sql<{ id: string }>(`SELECT id FROM tenants WHERE slug = 'elsewhere'`);
    await people.member('settled@example.org', 'ADMIN');
    const token = await people.tokenOf('settled@example.org');
    const ask = async (tenant: string) => {
      const answer = await people.call('GET', '/probe/read', { token, headers: { 'x-tenant': tenant } });
      return answer.status;
    };
    expect(await ask('default')).toBe(200);
    expect(await ask(people.tenantId)).toBe(200);
    for (const other of ['elsewhere', elsewhere?.id ?? '', 'no-such-tenant', '', 'DEFAULT', 'default,elsewhere']) {
      expect([other, await ask(other)]).toEqual([other, 404]);
    }
  });

  it('gives an account without a membership no right at all', async () => {
    const id = await people.member('nobody@example.org', 'ADMIN');
    await people.call('DELETE', `/users/${id}`, { token: people.adminToken });
    const token = await people.tokenOf('nobody@example.org');
    expect((await people.call('GET', '/auth/me', { token })).body).toMatchObject({ tenant: null, role: null, permissions: [] });
    expect((await people.call('GET', '/probe/read', { token })).body.code).toBe('PERMISSION_DENIED');
    await people.sql(`UPDATE users SET platform_role = 'PLATFORM_ADMIN' WHERE id = $1`, [id]);
    expect((await people.call('GET', '/probe/read', { token })).body.code).toBe('PERMISSION_DENIED');
    expect((await people.call('GET', '/probe/read', { token, headers: { 'x-tenant': 'default' } })).status).toBe(200);
  });

  it('lets the platform act in any tenant as its ADMIN, told to that tenant, but for self routes and operators who only read', async () => {
    const tenantId = await people.tenant('entered');
    const id = await people.member('plane@example.org', 'VIEWER');
    const token = await people.tokenOf('plane@example.org');
    const ask = async (path: string, method = 'GET') =>
      (await people.call(method, path, { token, headers: { 'x-tenant': 'entered' }, ...(method === 'POST' ? { body: {} } : {}) })).status;
    for (const [platformRole, expected] of [[null, 404], ['PLATFORM_OPERATOR', 404], ['PLATFORM_OPERATOR_WRITE', 200], ['PLATFORM_ADMIN', 200]] as const) {
      await people.sql('UPDATE users SET platform_role = $2 WHERE id = $1', [id, platformRole]);
      expect([platformRole, await ask('/probe/write', 'POST')]).toEqual([platformRole, expected]);
      expect(await ask('/probe/session')).toBe(404);
    }
    const entries = (await people.audited('TENANT_ENTERED')).filter((row) => row.tenant_id === tenantId);
    expect(entries.map((row) => [row.tenant_id, row.actor_id, row.details['platformRole']])).toEqual([
      [tenantId, id, 'PLATFORM_OPERATOR_WRITE'],
      [tenantId, id, 'PLATFORM_ADMIN'],
    ]);
  });
});

describe('a device at the guard', () => {
  const basic = (id: string, secret: string) => ({ authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}` });
  const ask = (id: string, headers: Record<string, string>) => people.call('POST', `/probe/devices/${id}/token`, { headers, body: {} });

  it('speaks for itself where a route lets devices do so, with that one right', async () => {
    const { status, body } = await ask(DEVICE.id, basic(DEVICE.id, DEVICE.secret));
    expect(status).toBe(200);
    expect(body).toMatchObject({ kind: 'device', id: DEVICE.id, tenantId: people.tenantId, role: null });
    expect(body['permissions']).toEqual(['devices.token.rotate']);
  });

  it('finds no other device', async () => {
    expect((await ask(randomUUID(), basic(DEVICE.id, DEVICE.secret))).status).toBe(404);
  });

  it('is refused the same way whether it, its secret or its form is wrong', async () => {
    const answers = await Promise.all([
      ask(DEVICE.id, basic(DEVICE.id, 'pcs_wrong')),
      ask(DEVICE.id, basic(randomUUID(), DEVICE.secret)),
      ask(DEVICE.id, basic(DEVICE.id.toUpperCase(), DEVICE.secret)),
      ask(DEVICE.id, basic('not-an-id', DEVICE.secret)),
    ]);
    for (const answer of answers) expect([answer.status, answer.body.code]).toEqual([401, 'INVALID_CREDENTIALS']);
    expect((await ask(DEVICE.id, {})).headers['www-authenticate']).toMatch(/Basic realm=/);
  });

  it('is let in with its right secret however many wrong ones came from its address', async () => {
    for (let i = 0; i < 65; i += 1) await ask(DEVICE.id, basic(DEVICE.id, 'pcs_wrong'));
    expect((await ask(DEVICE.id, basic(DEVICE.id, 'pcs_wrong'))).status).toBe(429);
    expect((await ask(DEVICE.id, basic(DEVICE.id, DEVICE.secret))).status).toBe(200);
  });

  it('gets nowhere else, and never through the doors of people', async () => {
    const headers = basic(DEVICE.id, DEVICE.secret);
    for (const [method, path] of [['GET', '/probe/read'], ['POST', '/probe/write'], ['GET', '/auth/me'], ['GET', '/users']] as const) {
      expect((await people.call(method, path, { headers })).status).toBe(401);
    }
    expect((await people.call('GET', '/probe/read', { headers: basic('root@example.org', PASSWORD) })).status).toBe(401);
  });
});

describe('the admin key', () => {
  const ask = (key: string, address: string, more: Record<string, string> = {}) =>
    people.call('POST', '/probe/devices', { headers: { 'x-admin-key': key, ...more }, body: {}, address });

  it('acts in default, with the right of the one route that takes it', async () => {
    const { status, body } = await ask(people.config.adminKey, '198.51.100.1');
    expect(status).toBe(201);
    expect(body).toMatchObject({ kind: 'provisioner', tenantId: people.tenantId, permissions: ['devices.device.create'] });
  });

  it('is refused when it is wrong, and counts for nothing elsewhere', async () => {
    const wrong = await ask(`${people.config.adminKey}x`, '198.51.100.2');
    expect([wrong.status, wrong.body.code]).toEqual([401, 'ADMIN_KEY_WRONG']);
    for (const [method, path] of [['GET', '/probe/read'], ['GET', '/users'], ['GET', '/auth/me']] as const) {
      expect((await people.call(method, path, { headers: { 'x-admin-key': people.config.adminKey } })).status).toBe(401);
    }
  });

  it('does not stand beside another credential', async () => {
    const both = await ask(people.config.adminKey, '198.51.100.3', { authorization: `Bearer ${people.adminToken}` });
    expect([both.status, both.body.code]).toEqual([401, 'CREDENTIALS_DISAGREE']);
  });

  it('is good for ten a minute from one address, right or wrong', async () => {
    for (const [key, address, expected] of [[people.config.adminKey, '198.51.100.4', 201], ['wrong', '198.51.100.5', 401]] as const) {
      for (let i = 0; i < 10; i += 1) expect((await ask(key, address)).status).toBe(expected);
      const more = await ask(key, address);
      expect([more.status, more.body.code]).toEqual([429, 'RATE_LIMITED']);
      expect(Number(more.headers['retry-after'])).toBeGreaterThan(0);
    }
    expect((await ask(people.config.adminKey, '198.51.100.6')).status).toBe(201);
  });

  it('is not needed by an ADMIN, and not replaced by any other role', async () => {
    expect((await people.call('POST', '/probe/devices', { token: people.adminToken, body: {} })).status).toBe(201);
    await people.member('op@example.org', 'OPERATOR');
    expect((await people.call('POST', '/probe/devices', { token: await people.tokenOf('op@example.org'), body: {} })).status).toBe(403);
  });
});
