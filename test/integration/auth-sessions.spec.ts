import { openPeople, PASSWORD, type People } from '../factories/people.js';

const HOUR = 3_600_000;

let people: People;

beforeAll(async () => {
  people = await openPeople();
});

afterAll(() => people.close());

const refresh = (token: string | undefined, address?: string) =>
  people.call('POST', '/auth/refresh', { body: { refresh_token: token }, ...(address ? { address } : {}) });
const me = (token: string | undefined) => people.call('GET', '/auth/me', { token });

describe('a refresh token', () => {
  it('is exchanged for the next pair, and works once', async () => {
    const first = (await people.login()).body;
    const second = await refresh(first.refresh_token);
    expect(second.status).toBe(200);
    const [access, next] = [expect.any(String), expect.any(String)];
    expect(second.body).toEqual({ access_token: access, refresh_token: next, token_type: 'bearer', expires_in: 3600 });
    expect(second.body.refresh_token).not.toBe(first.refresh_token);
    expect((await me(second.body.access_token)).status).toBe(200);
    const third = await refresh(second.body.refresh_token);
    expect(third.status).toBe(200);
  });

  it.each([1, 2, 40])('that was spent %i refreshes ago ends its whole family, and says so in the log', async (ago) => {
    const first = (await people.login()).body;
    let newest = first;
    for (let i = 0; i < ago; i += 1) newest = (await refresh(newest.refresh_token, `198.51.100.${i}`)).body;
    expect((await me(newest.access_token)).status).toBe(200);
    const before = (await people.audited('SESSION_REUSED')).length;
    const replay = await refresh(first.refresh_token);
    expect([replay.status, replay.body.code]).toEqual([401, 'REFRESH_TOKEN_INVALID']);
    expect((await refresh(newest.refresh_token)).status).toBe(401);
    expect((await me(newest.access_token)).status).toBe(401);
    const events = await people.audited('SESSION_REUSED');
    expect(events).toHaveLength(before + 1);
    expect(events.at(-1)).toMatchObject({ severity: 'HIGH', tenant_id: people.tenantId });
  });

  it('ends no other session of the account when it is replayed', async () => {
    const [stolen, other] = [(await people.login()).body, (await people.login()).body];
    await refresh(stolen.refresh_token);
    await refresh(stolen.refresh_token);
    expect((await me(other.access_token)).status).toBe(200);
  });

  it('brought twice at once is answered exactly once, and its family ends', async () => {
    for (let round = 0; round < 5; round += 1) {
      const { body } = await people.login();
      const answers = await Promise.all(Array.from({ length: 4 }, (_, i) => refresh(body.refresh_token, `203.0.113.${i}`)));
      const won = answers.filter((answer) => answer.status === 200);
      expect(answers.map((answer) => answer.status).sort()).toEqual([200, 401, 401, 401]);
      expect((await me(won[0]?.body.access_token)).status).toBe(401);
      expect((await refresh(won[0]?.body.refresh_token)).status).toBe(401);
    }
  });

  it('ends a day after it was given, and a refresh begins the day anew', async () => {
    const own = await openPeople();
    try {
      const renew = async (token: string | undefined) => own.call('POST', '/auth/refresh', { body: { refresh_token: token } });
      let { body } = await own.login();
      for (let i = 0; i < 3; i += 1) {
        own.clock.advance(24 * HOUR - 1000);
        const answer = await renew(body.refresh_token);
        expect(answer.status).toBe(200);
        body = answer.body;
      }
      own.clock.advance(24 * HOUR);
      expect((await renew(body.refresh_token)).status).toBe(401);
    } finally {
      await own.close();
    }
  });

  it('ends after thirty days, however often it was exchanged', async () => {
    const own = await openPeople();
    try {
      let { body } = await own.login();
      let exchanged = 0;
      for (let hours = 0; hours < 30 * 24 - 20; hours += 20) {
        own.clock.advance(20 * HOUR);
        const answer = await own.call('POST', '/auth/refresh', { body: { refresh_token: body.refresh_token } });
        expect([hours, answer.status]).toEqual([hours, 200]);
        body = answer.body;
        exchanged += 1;
      }
      expect(exchanged).toBe(35);
      own.clock.advance(20 * HOUR);
      expect((await own.call('POST', '/auth/refresh', { body: { refresh_token: body.refresh_token } })).status).toBe(401);
      expect((await own.call('GET', '/auth/me', { token: body.access_token })).status).toBe(401);
    } finally {
      await own.close();
    }
  });

  it('is kept as a digest only, never as itself', async () => {
    const { body } = await people.login();
    const bytes = Buffer.from((body.refresh_token ?? '').slice(4), 'base64url');
    const select = 'SELECT row_to_json(s)::text AS row, refresh_digest AS digest FROM sessions s';
    const rows = await people.sql<{ row: string; digest: Buffer }>(select);
    for (const { row, digest } of rows) {
      expect(row).not.toContain(bytes.subarray(32, 64).toString('hex'));
      expect(row).not.toContain(body.refresh_token);
      expect(digest).toHaveLength(48);
    }
  });

  it('is not taken from the Authorization header, nor an access token in its place', async () => {
    const { body } = await people.login();
    const inHeader = await people.call('POST', '/auth/refresh', { headers: { authorization: `Bearer ${body.refresh_token}` } });
    expect([inHeader.status, inHeader.body.code]).toEqual([401, 'REFRESH_TOKEN_INVALID']);
    expect((await refresh(body.access_token)).status).toBe(401);
    expect((await me(body.refresh_token)).status).toBe(401);
    expect((await refresh(body.refresh_token)).status).toBe(200);
  });

  it.each([
    ['garbage', () => 'pcr_garbage'],
    ['nothing', () => undefined],
    ['a well-formed token that was never given out', () => `pcr_${Buffer.alloc(80, 7).toString('base64url')}`],
    ['one with a changed tail', (token: string) => `${token.slice(0, -4)}AAAA`],
  ])('that is %s is refused and ends nothing', async (_, forge) => {
    const { body } = await people.login();
    expect((await refresh(forge(body.refresh_token ?? ''))).status).toBe(401);
    expect((await refresh(body.refresh_token)).status).toBe(200);
  });
});

describe('a session', () => {
  it('ends at once on logout, for its access token too', async () => {
    const { body } = await people.login();
    const { body: other } = await people.login();
    expect((await people.call('POST', '/auth/logout', { token: body.access_token })).body).toEqual({ sessionsEnded: 1 });
    expect((await me(body.access_token)).status).toBe(401);
    expect((await refresh(body.refresh_token)).status).toBe(401);
    expect((await me(other.access_token)).status).toBe(200);
  });

  it('is listed to its owner alone, and can be ended from another one', async () => {
    await people.member('lister@example.org', 'VIEWER');
    const here = (await people.login('lister@example.org')).body;
    people.clock.advance(1000);
    const there = (await people.login('lister@example.org')).body;
    const { body } = await people.call('GET', '/auth/sessions', { token: here.access_token });
    const items = body['items'] as { id: string; current: boolean; ip: string }[];
    expect(items.map((item) => item.current)).toEqual([true, false]);
    expect(items[0]).toMatchObject({ ip: '192.0.2.1', transport: 'json', tenantId: people.tenantId });
    expect(JSON.stringify(body)).not.toMatch(/digest|pcr_/);
    const stranger = await people.call('DELETE', `/auth/sessions/${items[1]?.id}`, { token: people.adminToken });
    expect([stranger.status, stranger.body.code]).toEqual([404, 'SESSION_NOT_FOUND']);
    expect((await me(there.access_token)).status).toBe(200);
    expect((await people.call('DELETE', `/auth/sessions/${items[1]?.id}`, { token: here.access_token })).status).toBe(204);
    expect((await me(there.access_token)).status).toBe(401);
    expect((await me(here.access_token)).status).toBe(200);
    const again = await people.call('DELETE', `/auth/sessions/${items[1]?.id}`, { token: here.access_token });
    expect(again.status).toBe(404);
  });

  it('follows its role on the very next request, up and down', async () => {
    const id = await people.member('follows@example.org', 'VIEWER');
    const token = await people.tokenOf('follows@example.org');
    const write = async () => (await people.call('POST', '/probe/write', { token, body: {} })).status;
    const give = (role: string) => people.call('PATCH', `/users/${id}`, { token: people.adminToken, body: { role } });
    expect(await write()).toBe(403);
    await give('ADMIN');
    expect(await write()).toBe(200);
    await give('VIEWER');
    expect(await write()).toBe(403);
  });

  it('ends with its account, wherever it is used', async () => {
    const id = await people.member('gone@example.org', 'ADMIN');
    const { body } = await people.login('gone@example.org');
    await people.sql(`UPDATE users SET status = 'DISABLED' WHERE id = $1`, [id]);
    expect((await me(body.access_token)).status).toBe(401);
    expect((await refresh(body.refresh_token)).status).toBe(401);
    expect((await people.login('gone@example.org')).body.code).toBe('INVALID_CREDENTIALS');
  });

  it('is bound to one tenant, chosen at login by slug or id, else the oldest', async () => {
    const id = await people.member('several@example.org', 'VIEWER');
    const second = await people.tenant('second-home', { [id]: 'ADMIN' });
    const tenantOf = async (body: object, headers = {}) => {
      const login = await people.login('several@example.org', PASSWORD, { body, headers });
      if (login.status !== 200) return login.status;
      return ((await me(login.body.access_token)).body['tenant'] as { id: string }).id;
    };
    expect(await tenantOf({})).toBe(people.tenantId);
    expect(await tenantOf({ tenant: 'second-home' })).toBe(second);
    expect(await tenantOf({ tenant: second })).toBe(second);
    expect(await tenantOf({}, { 'x-tenant': 'second-home' })).toBe(second);
    expect(await tenantOf({ tenant: 'second-home' }, { 'x-tenant': 'default' })).toBe(400);
    await people.tenant('not-mine');
    expect(await tenantOf({ tenant: 'not-mine' })).toBe(401);
    expect(await tenantOf({ tenant: 'no-such-tenant' })).toBe(401);
  });

  it('that is over is forgotten at a later login', async () => {
    const own = await openPeople();
    try {
      const count = async () => (await own.sql('SELECT 1 FROM sessions')).length;
      await own.login();
      expect(await count()).toBe(2);
      own.clock.advance(8 * 24 * HOUR + 1);
      await own.login();
      expect(await count()).toBe(1);
    } finally {
      await own.close();
    }
  });
});

describe('row security', () => {
  it('shows the app role no person and no session without a tenant or account in the transaction', async () => {
    const pg = await import('pg');
    const client = new pg.default.Client({ connectionString: people.database.url, options: '-c role=portcullis_test_app' });
    await client.connect();
    try {
      for (const table of ['users', 'memberships', 'sessions']) {
        expect((await client.query(`SELECT 1 FROM ${table}`)).rows).toEqual([]);
      }
    } finally {
      await client.end();
    }
  });

  it('hides password hashes and refresh digests from the reader role', async () => {
    const pg = await import('pg');
    const client = new pg.default.Client({ connectionString: people.database.url, options: '-c role=portcullis_test_reader' });
    await client.connect();
    try {
      await expect(client.query('SELECT password_hash FROM users')).rejects.toThrow(/permission denied/);
      await expect(client.query('SELECT refresh_digest FROM sessions')).rejects.toThrow(/permission denied/);
    } finally {
      await client.end();
    }
  });
});
