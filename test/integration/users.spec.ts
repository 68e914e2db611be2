import { PASSWORD, openPeople, type People } from '../factories/people.js';

let people: People;

beforeAll(async () => {
  people = await openPeople();
});

afterAll(() => people.close());

const asAdmin = (method: string, path: string, body?: unknown) => people.call(method, path, { token: people.adminToken, body });

describe('the people of a tenant', () => {
  it('are created with account and membership, and read back without any secret', async () => {
    const ada = { email: 'Ada@Example.org', name: 'Ada Lovelace', role: 'OPERATOR' };
    const created = await asAdmin('POST', '/users', { ...ada, password: PASSWORD });
    expect(created.status).toBe(201);
    expect(created.body).toEqual({ ...ada, id: expect.any(String), status: 'ACTIVE', createdAt: expect.any(String) });
    expect((await asAdmin('GET', `/users/${created.body.id}`)).body).toEqual(created.body);
    const [row] = await people.sql<{ password_hash: string }>('SELECT password_hash FROM users WHERE id = $1', [created.body.id]);
    expect(row?.password_hash).toMatch(/^v1:[0-9a-f-]{36}:\$2b\$04\$/);
    expect((await people.audited('USER_CREATED')).filter((event) => event.user_id === created.body.id)).toHaveLength(1);
  });

  it('are VIEWER unless a role is given', async () => {
    const { body } = await asAdmin('POST', '/users', { email: 'default-role@example.org', password: PASSWORD, name: 'D' });
    expect(body['role']).toBe('VIEWER');
  });

  it('have one account an address, however it is written and wherever it exists', async () => {
    await people.member('once@example.org', 'VIEWER');
    const elsewhere = await people.member('elsewhere@example.org', 'VIEWER');
    await people.tenant('other-home', { [elsewhere]: 'ADMIN' });
    await asAdmin('DELETE', `/users/${elsewhere}`);
    const again = async (email: string) => {
      const { status, body } = await asAdmin('POST', '/users', { email, password: PASSWORD, name: 'Again' });
      return { status, code: body.code, keys: Object.keys(body).sort() };
    };
    const own = await again('ONCE@example.org');
    expect(own).toMatchObject({ status: 409, code: 'USER_EMAIL_TAKEN' });
    expect(await again('elsewhere@example.org')).toEqual(own);
  });

  it('never include anybody of another tenant: those are not found, whatever is tried', async () => {
    const stranger = await people.member('stranger@example.org', 'VIEWER');
    await people.tenant('strangers-home', { [stranger]: 'VIEWER' });
    expect((await asAdmin('DELETE', `/users/${stranger}`)).status).toBe(204);
    for (const [method, path, body] of [
      ['GET', ''], ['PATCH', '', { role: 'ADMIN' }], ['DELETE', ''], ['POST', '/disable'], ['POST', '/enable'],
    ] as const) {
      const answer = await asAdmin(method, `/users/${stranger}${path}`, body);
      const unknown = await asAdmin(method, `/users/00000000-0000-4000-8000-000000000000${path}`, body);
      expect([answer.status, answer.body.code]).toEqual([404, 'USER_NOT_FOUND']);
      expect(Object.keys(answer.body)).toEqual(Object.keys(unknown.body));
      expect(unknown.status).toBe(404);
    }
    const [left] = await people.sql<{ role: string }>('SELECT role, status FROM memberships WHERE user_id = $1', [stranger]);
    expect(left).toEqual({ role: 'VIEWER', status: 'ACTIVE' });
  });

  it('are listed in pages that neither repeat nor lose anybody while people join', async () => {
    for (const name of ['a', 'b', 'c', 'd']) await people.member(`page-${name}@example.org`, 'VIEWER');
    const before = (await asAdmin('GET', '/users?limit=200')).body['items'] as { id: string }[];
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const { body } = await asAdmin('GET', `/users?limit=3${cursor === null ? '' : `&cursor=${cursor}`}`);
      seen.push(...(body['items'] as { id: string }[]).map((item) => item.id));
      if (seen.length === 3) await people.member('page-late@example.org', 'VIEWER');
      cursor = body['nextCursor'] as string | null;
    } while (cursor !== null);
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen.slice(0, before.length)).toEqual(before.map((item) => item.id));
    expect((await asAdmin('GET', '/users?cursor=bm9uc2Vuc2U')).body.code).toBe('CURSOR_INVALID');
  });

  it('keep name, e-mail and password as their own: an ADMIN changes the role alone', async () => {
    const id = await people.member('own@example.org', 'VIEWER');
    for (const body of [
      {}, { name: 'Other' }, { role: 'ADMIN', email: 'x@example.org' }, { role: 'ROOT' },
      { role: 'VIEWER', platformRole: 'PLATFORM_ADMIN' },
    ]) {
      expect((await asAdmin('PATCH', `/users/${id}`, body)).status).toBe(400);
    }
    const changed = await asAdmin('PATCH', `/users/${id}`, { role: 'OPERATOR' });
    expect([changed.status, changed.body['role']]).toEqual([200, 'OPERATOR']);
    const [event] = (await people.audited('USER_ROLE_CHANGED')).filter((row) => row.user_id === id);
    expect(event).toMatchObject({ severity: 'HIGH', tenant_id: people.tenantId, details: { from: 'VIEWER', to: 'OPERATOR' } });
  });

  it('may be managed by ADMINs only', async () => {
    const target = await people.member('managed@example.org', 'VIEWER');
    for (const role of ['OPERATOR', 'VIEWER'] as const) {
      await people.member(`no-${role}@example.org`, role);
      const token = await people.tokenOf(`no-${role}@example.org`);
      for (const [method, path, body] of [
        ['GET', '/users'], ['POST', '/users', { email: 'x@example.org', password: PASSWORD, name: 'X' }],
        ['PATCH', `/users/${target}`, { role: 'ADMIN' }], ['DELETE', `/users/${target}`], ['POST', `/users/${target}/disable`],
      ] as const) {
        const answer = await people.call(method, path, { token, body });
        expect([role, method, path, answer.status, answer.body.code]).toEqual([role, method, path, 403, 'PERMISSION_DENIED']);
      }
    }
  });

  it('leave no trace when a step of a change fails: change and audit commit together', async () => {
    await people.sql(`ALTER TABLE security_audit_logs ADD CONSTRAINT no_trace CHECK (event_type <> 'USER_CREATED') NOT VALID`);
    try {
      const { status } = await asAdmin('POST', '/users', { email: 'rollback@example.org', password: PASSWORD, name: 'R' });
      expect(status).toBe(500);
      expect(await people.sql('SELECT 1 FROM users WHERE email_key = $1', ['rollback@example.org'])).toEqual([]);
    } finally {
      await people.sql('ALTER TABLE security_audit_logs DROP CONSTRAINT no_trace');
    }
  });
});

describe('a membership that ends', () => {
  it.each([
    ['disable', 'POST', '/disable', 200, 'USER_DISABLED', 'membership-disabled'],
    ['removal', 'DELETE', '', 204, 'USER_REMOVED', 'membership-removed'],
  ] as const)('takes its sessions along: %s', async (name, method, path, status, type, reason) => {
    const email = `ends-${name}@example.org`;
    const id = await people.member(email, 'OPERATOR');
    const elsewhere = await people.tenant(`ends-${name}`, { [id]: 'ADMIN' });
    const first = await people.login(email);
    const second = await people.login(email);
    const other = await people.login(email, PASSWORD, { body: { tenant: `ends-${name}` } });
    expect((await asAdmin(method, `/users/${id}${path}`)).status).toBe(status);
    for (const { body } of [first, second]) {
      expect((await people.call('GET', '/auth/me', { token: body.access_token })).status).toBe(401);
      expect((await people.call('POST', '/auth/refresh', { body: { refresh_token: body.refresh_token } })).status).toBe(401);
    }
    const there = await people.call('GET', '/auth/me', { token: other.body.access_token });
    expect([there.status, there.body['role'], (there.body['tenant'] as { id: string }).id]).toEqual([200, 'ADMIN', elsewhere]);
    const [event] = (await people.audited(type)).filter((row) => row.user_id === id);
    expect(event?.details).toMatchObject({ sessionsEnded: 2 });
    const ended = await people.sql('SELECT 1 FROM sessions WHERE user_id = $1 AND end_reason = $2', [id, reason]);
    expect(ended).toHaveLength(2);
  });

  it('opens again when it is enabled, but its old sessions stay ended', async () => {
    const id = await people.member('again@example.org', 'VIEWER');
    const { body } = await people.login('again@example.org');
    await asAdmin('POST', `/users/${id}/disable`);
    const shut = await people.call('GET', '/auth/me', { token: await people.tokenOf('again@example.org') });
    expect([shut.status, shut.body['tenant'], shut.body['permissions']]).toEqual([200, null, []]);
    const enabled = await asAdmin('POST', `/users/${id}/enable`);
    expect([enabled.status, enabled.body['status']]).toEqual([200, 'ACTIVE']);
    expect((await people.call('GET', '/auth/me', { token: body.access_token })).status).toBe(401);
    expect((await people.call('GET', '/auth/me', { token: await people.tokenOf('again@example.org') })).body['role']).toBe('VIEWER');
    expect((await people.audited('USER_ENABLED')).filter((row) => row.user_id === id)).toHaveLength(1);
  });

  it('changes nothing a second time, and says so in the log only once', async () => {
    const id = await people.member('twice@example.org', 'VIEWER');
    for (let i = 0; i < 2; i += 1) expect((await asAdmin('POST', `/users/${id}/disable`)).body['status']).toBe('DISABLED');
    expect((await people.audited('USER_DISABLED')).filter((row) => row.user_id === id)).toHaveLength(1);
  });

  it('does not end when the sessions cannot: both are one transaction', async () => {
    const id = await people.member('atomic@example.org', 'VIEWER');
    const token = await people.tokenOf('atomic@example.org');
    await people.sql(`ALTER TABLE sessions ADD CONSTRAINT no_end CHECK (end_reason IS DISTINCT FROM 'membership-disabled') NOT VALID`);
    try {
      expect((await asAdmin('POST', `/users/${id}/disable`)).status).toBe(500);
    } finally {
      await people.sql('ALTER TABLE sessions DROP CONSTRAINT no_end');
    }
    expect((await asAdmin('GET', `/users/${id}`)).body['status']).toBe('ACTIVE');
    expect((await people.call('GET', '/auth/me', { token })).status).toBe(200);
  });
});

describe('the last ADMIN', () => {
  let own: People;
  beforeAll(async () => {
    own = await openPeople();
  });
  afterAll(() => own.close());

  const acting = (token: string, method: string, path: string, body?: unknown) => own.call(method, path, { token, body });
  const admins = () => own.sql<{ user_id: string }>(
    `SELECT user_id FROM memberships WHERE tenant_id = $1 AND role = 'ADMIN' AND status = 'ACTIVE'`, [own.tenantId]);

  it('can neither demote, disable nor remove himself', async () => {
    const me = (await own.call('GET', '/auth/me', { token: own.adminToken })).body.id;
    for (const [method, path, body] of [
      ['PATCH', '', { role: 'VIEWER' }], ['POST', '/disable'], ['DELETE', ''],
    ] as const) {
      const answer = await acting(own.adminToken, method, `/users/${me}${path}`, body);
      expect([answer.status, answer.body.code]).toEqual([409, 'LAST_ADMIN']);
    }
    expect(await admins()).toHaveLength(1);
    expect((await acting(own.adminToken, 'PATCH', `/users/${me}`, { role: 'ADMIN' })).status).toBe(200);
  });

  it('is not somebody whose membership or account is disabled', async () => {
    const spare = await own.member('spare@example.org', 'ADMIN');
    const me = (await own.call('GET', '/auth/me', { token: own.adminToken })).body.id;
    await acting(own.adminToken, 'POST', `/users/${spare}/disable`);
    expect((await acting(own.adminToken, 'PATCH', `/users/${me}`, { role: 'VIEWER' })).body.code).toBe('LAST_ADMIN');
    await acting(own.adminToken, 'POST', `/users/${spare}/enable`);
    await own.sql(`UPDATE users SET status = 'DISABLED' WHERE id = $1`, [spare]);
    expect((await acting(own.adminToken, 'PATCH', `/users/${me}`, { role: 'VIEWER' })).body.code).toBe('LAST_ADMIN');
    await acting(own.adminToken, 'DELETE', `/users/${spare}`);
  });

  it('remains, however many ADMINs take each other down at once', async () => {
    for (let round = 0; round < 5; round += 1) {
      const emails = [1, 2, 3].map((n) => `race-${round}-${n}@example.org`);
      const ids = [];
      for (const email of emails) ids.push(await own.member(email, 'ADMIN'));
      const tokens = await Promise.all(emails.map((email) => own.tokenOf(email)));
      const root = (await own.call('GET', '/auth/me', { token: own.adminToken })).body.id ?? '';
      // Everybody takes away the next one, by different means, and one of them the first admin.
      const targets = [...ids.slice(1), ids[0]];
      const attacks = [
        acting(tokens[0] ?? '', 'PATCH', `/users/${targets[0]}`, { role: 'VIEWER' }),
        acting(tokens[1] ?? '', 'POST', `/users/${targets[1]}/disable`),
        acting(tokens[2] ?? '', 'DELETE', `/users/${targets[2]}`),
        acting(tokens[0] ?? '', 'PATCH', `/users/${root}`, { role: 'OPERATOR' }),
      ];
      const statuses = (await Promise.all(attacks)).map((answer) => answer.status);
      expect(statuses.every((status) => [200, 204, 401, 403, 404, 409].includes(status))).toBe(true);
      expect((await admins()).length).toBeGreaterThanOrEqual(1);
      await own.sql(`UPDATE memberships SET role = 'ADMIN' WHERE user_id = $1`, [root]);
      await own.sql(`DELETE FROM memberships WHERE user_id = ANY ($1)`, [ids]);
    }
  });

  it('remains when two ADMINs demote themselves at the same moment', async () => {
    for (let round = 0; round < 8; round += 1) {
      const [a, b] = [`self-a-${round}@example.org`, `self-b-${round}@example.org`];
      const ids = [await own.member(a, 'ADMIN'), await own.member(b, 'ADMIN')];
      const tokens = [await own.tokenOf(a), await own.tokenOf(b)];
      const root = (await own.call('GET', '/auth/me', { token: own.adminToken })).body.id ?? '';
      await own.sql(`UPDATE memberships SET role = 'VIEWER' WHERE user_id = $1`, [root]);
      const answers = await Promise.all(ids.map((id, i) => acting(tokens[i] ?? '', 'PATCH', `/users/${id}`, { role: 'VIEWER' })));
      expect(answers.map((answer) => answer.status).sort()).toEqual([200, 409]);
      expect(await admins()).toHaveLength(1);
      await own.sql(`UPDATE memberships SET role = 'ADMIN' WHERE user_id = $1`, [root]);
      await own.sql(`DELETE FROM memberships WHERE user_id = ANY ($1)`, [ids]);
    }
  });
});
