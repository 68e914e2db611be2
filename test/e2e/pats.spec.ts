import { randomUUID } from 'node:crypto';
import { openPeople, PASSWORD, type People } from '../factories/people.js';

interface Pat {
  id: string;
  secret: string;
  status: string;
  permissions: string[];
  lastUsedAt: string | null;
  [member: string]: unknown;
}

let people: People;
beforeAll(async () => (people = await openPeople()));
afterAll(() => people.close());

const ALL = { entity_id: '*' };
const READ = { entity_type: 'devices', operation: 'read', ...ALL };
const WRITE = { entity_type: 'devices', operation: 'update', ...ALL };

async function make(body: object = {}, token = people.adminToken): Promise<Pat> {
  const made = await people.call('POST', '/pats', { token, body: { name: 'nightly', duration: '720h', scopes: [READ], ...body } });
  expect([made.status, made.body.code]).toEqual([201, undefined]);
  return made.body as unknown as Pat;
}

const read = (token: string, address?: string) => people.call('GET', '/probe/read', { token, ...(address ? { address } : {}) });
const write = (token: string) => people.call('POST', '/probe/write', { token, body: {} });

describe('a personal access token', () => {
  it('is told once, acts for its owner within its scopes, and leaves a trace of its own', async () => {
    const pat = await make();
    expect(pat.secret).toMatch(/^pat_/);
    expect([pat['name'], pat['description'], pat.status]).toEqual(['nightly', '', 'ACTIVE']);
    expect((await read(pat.secret)).status).toBe(200);
    const denied = await write(pat.secret);
    expect([denied.status, denied.body.code]).toEqual([403, 'PERMISSION_DENIED']);
    const list = await people.call('GET', '/pats', { token: people.adminToken });
    const mine = (list.body['items'] as Pat[]).find(({ id }) => id === pat.id);
    expect(mine?.lastUsedAt).not.toBeNull();
    expect(JSON.stringify(list.body)).not.toContain(pat.secret);
    const [denial] = (await people.audited('ACCESS_DENIED')).slice(-1);
    expect(denial).toMatchObject({ actor_id: pat.id, user_id: expect.any(String) as string });
    const [row] = await people.sql<{ digest: Buffer; scopes: string[] }>('SELECT digest, scopes FROM personal_access_tokens WHERE id = $1', [pat.id]);
    expect(row?.digest).toHaveLength(32);
    expect(row?.scopes).toEqual(['devices.device.read']);
  });

  it('without scopes may do nothing', async () => {
    const pat = await make({ scopes: [] });
    expect((await read(pat.secret)).status).toBe(403);
  });

  it('is widened and narrowed, which holds on the next request', async () => {
    const pat = await make();
    const added = await people.call('PATCH', `/pats/${pat.id}/scope/add`, { token: people.adminToken, body: { scopes: ['devices.device.update'] } });
    expect([added.status, added.body['permissions']]).toEqual([200, ['devices.device.read', 'devices.device.update']]);
    expect((await write(pat.secret)).status).toBe(200);
    await people.call('PATCH', `/pats/${pat.id}/scope/remove`, { token: people.adminToken, body: { scopes: [WRITE] } });
    expect((await write(pat.secret)).status).toBe(403);
    expect((await read(pat.secret)).status).toBe(200);
  });

  it('with a scope on one object reaches that object alone', async () => {
    const [mine, other] = [await people.member('one@example.org', 'VIEWER'), await people.member('two@example.org', 'VIEWER')];
    const pat = await make({ scopes: [{ entity_type: 'users', operation: 'read', entity_id: mine }] });
    expect((await people.call('GET', `/users/${mine}`, { token: pat.secret })).status).toBe(200);
    expect((await people.call('GET', `/users/${other}`, { token: pat.secret })).status).toBe(403);
    expect((await people.call('GET', '/users', { token: pat.secret })).status).toBe(403);
  });

  it('opens no self route: no token makes a token', async () => {
    const pat = await make({ scopes: ['users.user.read', 'users.user.create'] });
    for (const [method, path] of [
      ['GET', '/pats'], ['POST', '/pats'], ['DELETE', '/pats'], ['PATCH', `/pats/${pat.id}/reset`], ['PATCH', `/pats/${pat.id}/scope/add`],
      ['GET', '/auth/me'], ['GET', '/auth/sessions'], ['POST', '/auth/logout'], ['POST', '/auth/password/change'], ['POST', '/auth/register'],
    ] as const) {
      const refused = await people.call(method, path, { token: pat.secret, ...(method === 'GET' ? {} : { body: {} }) });
      expect([path, refused.status, refused.body.code]).toEqual([path, 403, 'SESSION_REQUIRED']);
    }
  });

  it('ends by revocation, by reset of its secret and by its date', async () => {
    const pat = await make({ duration: '2h' });
    const reset = await people.call('PATCH', `/pats/${pat.id}/reset`, { token: people.adminToken, body: { duration: '1h' } });
    const renewed = reset.body as unknown as Pat;
    expect([reset.status, renewed.id, renewed.secret === pat.secret]).toEqual([200, pat.id, false]);
    expect((await read(pat.secret)).status).toBe(401);
    expect((await read(renewed.secret)).status).toBe(200);
    for (let i = 0; i < 2; i += 1) {
      const revoked = await people.call('PATCH', `/pats/${pat.id}/revoke`, { token: people.adminToken });
      expect([revoked.status, revoked.body['status']]).toEqual([200, 'REVOKED']);
    }
    const refused = await read(renewed.secret);
    expect([refused.status, refused.body.code]).toEqual([401, 'TOKEN_INVALID']);
    for (const verb of ['reset', 'scope/add']) {
      const body = verb === 'reset' ? {} : { scopes: [] };
      expect((await people.call('PATCH', `/pats/${pat.id}/${verb}`, { token: people.adminToken, body })).body.code).toBe('PAT_REVOKED');
    }
  });

  it('belongs to its owner: to everybody else it is not there', async () => {
    const pat = await make();
    await people.member('curious@example.org', 'ADMIN');
    const curious = await people.tokenOf('curious@example.org');
    for (const verb of ['revoke', 'reset', 'scope/add', 'scope/remove']) {
      const body = verb.startsWith('scope') ? { scopes: [READ] } : {};
      const answer = await people.call('PATCH', `/pats/${pat.id}/${verb}`, { token: curious, body });
      expect([verb, answer.status, answer.body.code]).toEqual([verb, 404, 'PAT_NOT_FOUND']);
    }
    expect((await people.call('GET', '/pats', { token: curious })).body['items']).toEqual([]);
    expect((await read(pat.secret)).status).toBe(200);
  });

  it('may be used from its networks only', async () => {
    const pat = await make({ networks: ['198.51.100.0/24'] });
    expect((await read(pat.secret, '198.51.100.9')).status).toBe(200);
    expect((await read(pat.secret, '203.0.113.9')).status).toBe(401);
  });

  it.each([
    ['a life of more than 366 days', { duration: '9000h' }, 'duration'],
    ['no life', { duration: undefined }, 'duration'],
    ['a network that is none', { networks: ['example.org'] }, 'networks'],
    ['a scope of the platform', { scopes: ['platform.rule.write'] }, 'scopes.0'],
    ['a scope that does not exist', { scopes: [READ, { ...READ, operation: 'fly' }] }, 'scopes.1'],
    ['a scope in another tenant', { scopes: [{ ...READ, optional_domain_id: randomUUID() }] }, 'scopes.0'],
    ['a name that is empty', { name: '' }, 'name'],
  ])('is refused with %s', async (_, change, path) => {
    const answer = await people.call('POST', '/pats', {
      token: people.adminToken,
      body: { name: 'x', duration: '1h', scopes: [READ], ...change },
    });
    expect([answer.status, answer.body.code]).toEqual([400, 'VALIDATION_FAILED']);
    expect((answer.body['errors'] as { path: string }[]).map((error) => error.path)).toContain(path);
  });
});

describe('the rights of a personal access token', () => {
  it('shrink with its owner’s role on the next request, and end with the membership', async () => {
    const id = await people.member('fading@example.org', 'ADMIN');
    const token = await people.tokenOf('fading@example.org');
    const pat = await make({ scopes: [READ, WRITE] }, token);
    expect((await write(pat.secret)).status).toBe(200);
    await people.call('PATCH', `/users/${id}`, { token: people.adminToken, body: { role: 'VIEWER' } });
    expect((await write(pat.secret)).status).toBe(403);
    expect((await read(pat.secret)).status).toBe(200);
    await people.call('POST', `/users/${id}/disable`, { token: people.adminToken });
    expect((await read(pat.secret)).status).toBe(401);
    await people.call('POST', `/users/${id}/enable`, { token: people.adminToken });
    expect((await read(pat.secret)).status).toBe(401);
    const [event] = (await people.audited('USER_DISABLED')).slice(-1);
    expect(event?.details).toMatchObject({ patsRevoked: 1, sessionsEnded: 1 });
  });

  it('are all taken by the owner at once, or by an admin, in this tenant alone', async () => {
    const id = await people.member('many@example.org', 'VIEWER');
    await people.tenant('elsewhere', { [id]: 'VIEWER' });
    const here = await people.tokenOf('many@example.org');
    const there = (await people.login('many@example.org', PASSWORD, { body: { tenant: 'elsewhere' } })).body.access_token ?? '';
    const [first, second, foreign] = [await make({}, here), await make({}, here), await make({}, there)];
    const own = await people.call('DELETE', '/pats', { token: here });
    expect([own.status, own.body['revoked']]).toEqual([200, 2]);
    for (const pat of [first, second]) expect((await read(pat.secret)).status).toBe(401);
    const third = await make({}, here);
    const cut = await people.call('DELETE', `/users/${id}/pats`, { token: people.adminToken });
    expect([cut.status, cut.body['revoked']]).toEqual([200, 1]);
    expect((await read(third.secret)).status).toBe(401);
    expect((await read(foreign.secret)).status).toBe(200);
    expect((await people.call('DELETE', `/users/${randomUUID()}/pats`, { token: people.adminToken })).body.code).toBe('USER_NOT_FOUND');
    expect((await people.call('DELETE', `/users/${id}/pats`, { token: here })).status).toBe(403);
  });

  it('end when nobody uses it, and such tokens stand in the stale report', async () => {
    const idle = await make({ maxIdle: '24h', name: 'idle' });
    const kept = await make({ maxIdle: '24h', name: 'kept' });
    for (let hours = 0; hours < 30; hours += 15) {
      people.clock.advance(15 * 3_600_000);
      expect((await read(kept.secret)).status).toBe(200);
    }
    expect((await read(idle.secret)).status).toBe(401);
    const token = await people.tokenOf();
    const stale = await people.call('GET', '/pats/stale?unusedFor=20h', { token });
    const names = (stale.body['items'] as Pat[]).map((pat) => pat['name']);
    expect(names).toContain('idle');
    expect(names).not.toContain('kept');
    expect((await people.call('GET', '/pats/stale', { token: await people.tokenOf('one@example.org') })).status).toBe(403);
  });
});
