import { LIMITS } from '../../src/rate-limit/limits.js';
import { AccountsService } from '../../src/users/accounts.service.js';
import { ADMIN_EMAIL, openPeople, PASSWORD, type Answer, type People } from '../factories/people.js';

let people: People;

beforeAll(async () => {
  people = await openPeople();
});

afterAll(() => people.close());

/** All of an answer but what is different every time. */
function shape({ status, headers, body }: Answer): object {
  const kept = Object.fromEntries(Object.entries(headers).filter(([name]) => !['date', 'x-request-id'].includes(name)));
  return { status, headers: kept, body: { ...body, requestId: typeof body['requestId'] } };
}

describe('login', () => {
  it('answers a pair of tokens as the OAuth names them', async () => {
    const { status, body, cookies } = await people.login();
    expect([status, cookies.size]).toEqual([200, 0]);
    expect(body).toEqual({
      access_token: expect.stringMatching(/^eyJ/), refresh_token: expect.stringMatching(/^pcr_/), token_type: 'bearer', expires_in: 3600,
    });
  });

  it('takes the address in any case, the password in its own only', async () => {
    expect((await people.login('ROOT@Example.ORG')).status).toBe(200);
    expect((await people.login(ADMIN_EMAIL, PASSWORD.toUpperCase())).status).toBe(401);
  });

  it('answers alike whatever is wrong: nobody learns who has an account, or what became of it', async () => {
    const disabled = await people.member('disabled@example.org', 'VIEWER');
    await people.sql(`UPDATE users SET status = 'DISABLED' WHERE id = $1`, [disabled]);
    await people.tenant('closed-house');
    const answers = [
      await people.login('unknown@example.org', PASSWORD),
      await people.login(ADMIN_EMAIL, 'wrong-password'),
      await people.login('disabled@example.org', 'wrong-password'),
      await people.login('disabled@example.org', PASSWORD),
      await people.login(ADMIN_EMAIL, PASSWORD, { body: { tenant: 'closed-house' } }),
      await people.login(ADMIN_EMAIL, PASSWORD, { body: { tenant: 'no-such-tenant' } }),
    ].map(shape);
    expect(answers[0]).toMatchObject({ status: 401, body: { code: 'INVALID_CREDENTIALS' } });
    for (const answer of answers) expect(answer).toEqual(answers[0]);
    const reasons = (await people.audited('AUTH_FAILURE')).map((row) => row.details['reason']);
    expect(reasons).toEqual(expect.arrayContaining(['unknown-account', 'wrong-password', 'account-disabled', 'not-a-member']));
  });

  it('checks a password for an unknown account as well, at the same cost', async () => {
    const bcrypt = (await import('bcrypt')).default;
    const costs: string[] = [];
    const compare = bcrypt.compare.bind(bcrypt);
    const spy = jest.spyOn(bcrypt, 'compare') as unknown as jest.SpyInstance<Promise<boolean>, [string, string]>;
    spy.mockImplementation((data, hash) => {
      costs.push(hash.slice(0, 7));
      return compare(data, hash);
    });
    try {
      await people.login('unknown@example.org', PASSWORD, { address: '198.51.100.20' });
      await people.login(ADMIN_EMAIL, 'wrong-password', { address: '198.51.100.20' });
    } finally {
      spy.mockRestore();
    }
    expect(costs).toEqual(['$2b$04$', '$2b$04$']);
  });

  it.each([
    ['the password was changed', `UPDATE users SET password_hash = 'v1:changed' WHERE id = $1`],
    ['the account was disabled', `UPDATE users SET status = 'DISABLED' WHERE id = $1`],
    ['the membership was disabled', `UPDATE memberships SET status = 'DISABLED' WHERE user_id = $1`],
    ['the membership was removed', 'DELETE FROM memberships WHERE user_id = $1'],
  ])('opens no session when, after the password was checked, %s', async (what, change) => {
    const email = `${what.replaceAll(' ', '-')}@example.org`;
    const id = await people.member(email, 'VIEWER');
    const accounts = people.app.get(AccountsService, { strict: false });
    const lock = accounts.lock.bind(accounts);
    const spy = jest.spyOn(accounts, 'lock').mockImplementation(async (tx, userId) => {
      await people.sql(change, [id]);
      return lock(tx, userId);
    });
    try {
      expect((await people.login(email)).body.code).toBe('INVALID_CREDENTIALS');
    } finally {
      spy.mockRestore();
    }
    expect(await people.sql('SELECT 1 FROM sessions WHERE user_id = $1', [id])).toEqual([]);
  });

  it('never writes a password anywhere', async () => {
    const password = 'a-password-nobody-else-has';
    await people.login(ADMIN_EMAIL, password, { address: '198.51.100.21' });
    await people.login(password.concat('@example.org'), 'x'.repeat(20), { address: '198.51.100.21' });
    const rows = JSON.stringify(await people.audited('AUTH_FAILURE', 'AUTH_SUCCESS'));
    expect(rows).not.toContain(`"${password}"`);
    expect(rows).not.toContain(PASSWORD);
  });

  it('is written to the log, with the session it began', async () => {
    await people.login();
    const event = (await people.audited('AUTH_SUCCESS')).at(-1);
    const details = { method: 'password', transport: 'json', sessionId: expect.any(String) };
    expect(event).toMatchObject({ tenant_id: people.tenantId, details });
  });

  it.each([
    ['no password', { email: ADMIN_EMAIL }],
    ['an unknown field', { email: ADMIN_EMAIL, password: PASSWORD, remember: true }],
    ['NUL in the password', { email: ADMIN_EMAIL, password: `${PASSWORD}\0` }],
    ['a password that is no text', { email: ADMIN_EMAIL, password: 7 }],
    ['several passwords', { email: ADMIN_EMAIL, password: [PASSWORD] }],
    ['an address that is none', { email: 'root', password: PASSWORD }],
    ['an unknown transport', { email: ADMIN_EMAIL, password: PASSWORD, transport: 'url' }],
  ])('is not understood with %s', async (_, body) => {
    expect((await people.call('POST', '/auth/login', { body })).body.code).toBe('VALIDATION_FAILED');
  });
});

describe('guessing passwords', () => {
  const { burst, intervalMs } = LIMITS['login.account'];

  it('is slowed down for one account and address, and the owner enters from anywhere else', async () => {
    await people.member('target@example.org', 'VIEWER');
    const guess = (address: string, password = 'wrong-password') => people.login('target@example.org', password, { address });
    for (let i = 0; i < burst; i += 1) expect((await guess('203.0.113.1')).status).toBe(401);
    const slowed = await guess('203.0.113.1', PASSWORD);
    expect([slowed.status, slowed.body.code]).toEqual([429, 'RATE_LIMITED']);
    expect(Number(slowed.headers['retry-after'])).toBeLessThanOrEqual(intervalMs / 1000);
    expect((await guess('203.0.113.2', PASSWORD)).status).toBe(200);
    people.clock.advance(intervalMs);
    expect((await guess('203.0.113.1', PASSWORD)).status).toBe(200);
    expect(await people.audited('RATE_LIMITED')).not.toHaveLength(0);
  });

  it('from a thousand addresses locks nobody out', async () => {
    await people.member('besieged@example.org', 'VIEWER');
    for (let i = 0; i < 1000; i += 20) {
      await Promise.all(Array.from({ length: 20 }, (_, k) =>
        people.login('besieged@example.org', 'wrong-password', { address: `10.${(i + k) >> 8}.${(i + k) & 255}.1` })));
    }
    expect((await people.login('besieged@example.org', PASSWORD, { address: '192.0.2.200' })).status).toBe(200);
  });

  it('from the owner’s own address does not keep out a browser that the owner has used before', async () => {
    await people.member('neighbour@example.org', 'VIEWER');
    const address = '203.0.113.50';
    const known = await people.login('neighbour@example.org', PASSWORD, { address, body: { transport: 'cookie' } });
    const mark = known.cookies.get('known_browser')?.value ?? '';
    for (let i = 0; i <= burst; i += 1) await people.login('neighbour@example.org', 'wrong-password', { address });
    expect((await people.login('neighbour@example.org', PASSWORD, { address })).status).toBe(429);
    const enter = (cookie: string) => people.login('neighbour@example.org', PASSWORD, { address, cookies: { known_browser: cookie } });
    expect((await enter(mark)).status).toBe(200);
    expect((await enter(`${mark.slice(0, -1)}${mark.endsWith('A') ? 'B' : 'A'}`)).status).toBe(429);
    const other = await people.login(ADMIN_EMAIL, PASSWORD, { body: { transport: 'cookie' } });
    expect((await enter(other.cookies.get('known_browser')?.value ?? '')).status).toBe(429);
  });

  it('is slowed down for a known browser too, on its own count', async () => {
    await people.member('lent@example.org', 'VIEWER');
    const known = await people.login('lent@example.org', PASSWORD, { body: { transport: 'cookie' } });
    const cookies = { known_browser: known.cookies.get('known_browser')?.value ?? '' };
    const guess = () => people.login('lent@example.org', 'wrong-password', { cookies, address: '203.0.113.60' });
    for (let i = 0; i < burst; i += 1) expect((await guess()).status).toBe(401);
    expect((await guess()).status).toBe(429);
  });

  it('of many accounts from one address is slowed down as well', async () => {
    const { burst: most } = LIMITS['login.address'];
    const statuses = [];
    for (let i = 0; i <= most; i += 1) {
      statuses.push((await people.login(`victim-${i}@example.org`, 'wrong-password', { address: '203.0.113.70' })).status);
    }
    expect(statuses.slice(0, most).every((status) => status === 401)).toBe(true);
    expect(statuses.at(-1)).toBe(429);
  });

  it('many at once does not slip through the count', async () => {
    const answers = await Promise.all(Array.from({ length: burst * 2 }, () =>
      people.login('parallel@example.org', 'wrong-password', { address: '203.0.113.80' })));
    expect(answers.filter((answer) => answer.status === 401)).toHaveLength(burst);
  });

  it('costs the owner nothing: right passwords never count', async () => {
    await people.member('busy@example.org', 'VIEWER');
    for (let i = 0; i < burst + 5; i += 1) {
      expect((await people.login('busy@example.org', PASSWORD, { address: '203.0.113.90' })).status).toBe(200);
    }
  });
});

describe('changing the password', () => {
  const change = (token: string | undefined, body: object) => people.call('POST', '/auth/password/change', { token, body });
  const NEXT = 'another-fine-lantern';

  it('needs the current one, ends every other session and keeps this one', async () => {
    const id = await people.member('changer@example.org', 'VIEWER');
    const [here, there] = [(await people.login('changer@example.org')).body, (await people.login('changer@example.org')).body];
    const wrong = await change(here.access_token, { currentPassword: 'not-mine', newPassword: NEXT });
    expect([wrong.status, wrong.body.code]).toEqual([403, 'CURRENT_PASSWORD_WRONG']);
    expect((await people.call('GET', '/auth/me', { token: there.access_token })).status).toBe(200);
    const done = await change(here.access_token, { currentPassword: PASSWORD, newPassword: NEXT });
    expect([done.status, done.body]).toEqual([200, { sessionsEnded: 1, tokensRevoked: 0 }]);
    expect((await people.call('GET', '/auth/me', { token: there.access_token })).status).toBe(401);
    expect((await people.call('POST', '/auth/refresh', { body: { refresh_token: there.refresh_token } })).status).toBe(401);
    expect((await people.call('GET', '/auth/me', { token: here.access_token })).status).toBe(200);
    expect((await people.login('changer@example.org', PASSWORD)).status).toBe(401);
    expect((await people.login('changer@example.org', NEXT)).status).toBe(200);
    expect((await people.audited('USER_PASSWORD_CHANGED')).filter((row) => row.user_id === id)).toHaveLength(1);
  });

  it('leaves the other sessions alone where that is asked for', async () => {
    await people.member('keeper@example.org', 'VIEWER');
    const [here, there] = [await people.tokenOf('keeper@example.org'), await people.tokenOf('keeper@example.org')];
    const done = await change(here, { currentPassword: PASSWORD, newPassword: NEXT, endOtherSessions: false });
    expect(done.body).toEqual({ sessionsEnded: 0, tokensRevoked: 0 });
    expect((await people.call('GET', '/auth/me', { token: there })).status).toBe(200);
  });

  it.each([
    ['too short', 'short', 'VALIDATION_FAILED'],
    ['with NUL', 'long-enough\0', 'VALIDATION_FAILED'],
    ['that everybody uses', 'Password123', 'PASSWORD_NOT_ACCEPTED'],
    ['that is the own address', 'picky@example.org', 'PASSWORD_NOT_ACCEPTED'],
    ['with half a surrogate pair', 'long-enough-\ud83d', 'PASSWORD_NOT_ACCEPTED'],
  ])('to one %s is refused, and the old one stays', async (_, newPassword, code) => {
    await people.sql('DELETE FROM users WHERE email_key = $1', ['picky@example.org']);
    await people.member('picky@example.org', 'VIEWER');
    const answer = await change(await people.tokenOf('picky@example.org'), { currentPassword: PASSWORD, newPassword });
    expect([answer.status, answer.body.code]).toEqual([400, code]);
    expect((await people.login('picky@example.org')).status).toBe(200);
  });

  it('slows down who tries old passwords inside a session', async () => {
    await people.member('open-desk@example.org', 'VIEWER');
    const token = await people.tokenOf('open-desk@example.org');
    const statuses = [];
    for (let i = 0; i <= LIMITS['password.user'].burst; i += 1) {
      statuses.push((await change(token, { currentPassword: `guess-${i}`, newPassword: NEXT })).status);
    }
    expect(new Set(statuses.slice(0, -1))).toEqual(new Set([403]));
    expect(statuses.at(-1)).toBe(429);
  });
});

describe('registration', () => {
  const person = { email: 'new@example.org', password: PASSWORD, name: 'New' };

  it('is for ADMINs where it is locked, and honours the role', async () => {
    expect((await people.call('POST', '/auth/register', { body: person })).status).toBe(401);
    await people.member('clerk@example.org', 'OPERATOR');
    const clerk = await people.tokenOf('clerk@example.org');
    expect((await people.call('POST', '/auth/register', { body: person, token: clerk })).body.code).toBe('PERMISSION_DENIED');
    const made = await people.call('POST', '/auth/register', { body: { ...person, role: 'OPERATOR' }, token: people.adminToken });
    expect(made).toMatchObject({ status: 201, body: { id: expect.any(String), email: person.email, role: 'OPERATOR' } });
    const me = await people.call('GET', '/auth/me', { token: await people.tokenOf(person.email) });
    expect(me.body).toMatchObject({ role: 'OPERATOR', tenant: { slug: 'default' } });
  });

  describe('where it is open', () => {
    let own: People;
    beforeAll(async () => {
      own = await openPeople({ env: { REGISTRATION: 'open' } });
    });
    afterAll(() => own.close());

    it('gives an account without any membership or right, whatever role is asked for, even by an ADMIN', async () => {
      for (const [email, token] of [['public@example.org', undefined], ['by-admin@example.org', own.adminToken]] as const) {
        const made = await own.call('POST', '/auth/register', { body: { ...person, email, role: 'ADMIN' }, ...(token ? { token } : {}) });
        expect([made.status, made.body]).toEqual([201, { id: null, email, name: 'New', role: null }]);
        const me = await own.call('GET', '/auth/me', { token: await own.tokenOf(email) });
        expect(me.body).toMatchObject({ tenant: null, role: null, platformRole: null, permissions: [] });
      }
      expect(await own.sql('SELECT 1 FROM memberships')).toHaveLength(1);
    });

    it('answers a taken address as a free one, and changes nothing', async () => {
      const before = await own.sql('SELECT email, name, password_hash FROM users ORDER BY id');
      const body = { email: ADMIN_EMAIL, password: 'a-thief-of-addresses', name: 'Thief' };
      const taken = await own.call('POST', '/auth/register', { body });
      expect([taken.status, taken.body]).toEqual([201, { id: null, email: ADMIN_EMAIL, name: 'Thief', role: null }]);
      expect(await own.sql('SELECT email, name, password_hash FROM users ORDER BY id')).toEqual(before);
      expect((await own.login(ADMIN_EMAIL, body.password)).status).toBe(401);
      const free = await own.call('POST', '/auth/register', { body: { ...body, email: 'fool@example.org' } });
      expect({ ...shape(free), body: null }).toEqual({ ...shape(taken), body: null });
      expect(Object.keys(free.body)).toEqual(Object.keys(taken.body));
    });

    it('is slowed down for one address', async () => {
      const { burst } = LIMITS['register.address'];
      const statuses = [];
      for (let i = 0; i <= burst; i += 1) {
        const body = { ...person, email: `flood-${i}@example.org` };
        statuses.push((await own.call('POST', '/auth/register', { body, address: '203.0.113.99' })).status);
      }
      expect(new Set(statuses.slice(0, -1))).toEqual(new Set([201]));
      expect(statuses.at(-1)).toBe(429);
    });
  });
});
