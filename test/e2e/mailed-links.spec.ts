import { Letters } from '../../src/auth/letters.js';
import { ADMIN_EMAIL, openPeople, PASSWORD, type People } from '../factories/people.js';
import { FakeSmtp } from '../fakes/fake-smtp.js';

const NEW_PASSWORD = 'quite-another-lantern-9';

let people: People;
let smtp: FakeSmtp;
let addresses = 0;

beforeAll(async () => {
  smtp = await FakeSmtp.start();
  people = await openPeople({ env: { SMTP_URL: smtp.url, PUBLIC_URL: 'https://fleet.example.org' } });
  for (const email of ['old@example.org', 'wishful@example.org']) await people.member(email, 'VIEWER');
});

afterAll(async () => {
  await people.close();
  await smtp.stop();
});

/** Each call from an address of its own, so that throttles of one test do not meet another's. */
const post = (path: string, body: object, token?: string, headers?: Record<string, string>) =>
  people.call('POST', path, {
    body, address: `198.51.100.${(addresses += 1)}`, ...(token === undefined ? {} : { token }), ...(headers ? { headers } : {}),
  });

async function mailed(to: string, prefix: string): Promise<string> {
  await people.app.get(Letters).settled();
  return smtp.tokens(to, prefix).at(-1) ?? '';
}

const codeOf = ({ status, body }: { status: number; body: { code?: string } }) => [status, body.code];

describe('recovery', () => {
  it('says the same to everybody, and writes only to whom it knows', async () => {
    await people.member('known@example.org', 'VIEWER');
    const known = await post('/auth/password/forgot', { email: 'Known@example.org' }, undefined, { host: 'evil.example' });
    const unknown = await post('/auth/password/forgot', { email: 'unknown@example.org' });
    expect([known.status, known.body]).toEqual([200, { accepted: true }]);
    expect([unknown.status, unknown.body]).toEqual([known.status, known.body]);
    const token = await mailed('known@example.org', 'pcp_');
    expect(token).not.toBe('');
    expect(smtp.mails.some(({ to }) => to === 'unknown@example.org')).toBe(false);
    expect(smtp.mails.find(({ to }) => to === 'known@example.org')?.text).toContain('https://fleet.example.org/reset-password#token=pcp_');
    const [row] = await people.sql<{ row: string }>('SELECT row_to_json(t)::text AS row FROM account_tokens t');
    expect(row?.row).not.toContain(token.split('_').at(-1));
  });

  it('sets a password once, within five minutes, and ends every session', async () => {
    await people.member('lost@example.org', 'VIEWER');
    const session = await people.tokenOf('lost@example.org');
    await post('/auth/password/forgot', { email: 'lost@example.org' });
    const token = await mailed('lost@example.org', 'pcp_');
    expect(codeOf(await post('/auth/password/reset', { token, newPassword: 'password1' }))).toEqual([400, 'PASSWORD_NOT_ACCEPTED']);
    const tries = await Promise.all([1, 2].map(() => post('/auth/password/reset', { token, newPassword: NEW_PASSWORD })));
    expect(tries.map(({ status }) => status).sort()).toEqual([200, 400]);
    expect((await people.call('GET', '/auth/me', { token: session })).status).toBe(401);
    expect((await people.login('lost@example.org', NEW_PASSWORD)).status).toBe(200);
    expect((await people.login('lost@example.org', PASSWORD)).status).toBe(401);
    expect(codeOf(await post('/auth/password/reset', { token, newPassword: NEW_PASSWORD }))).toEqual([400, 'RECOVERY_TOKEN_INVALID']);
    await post('/auth/password/forgot', { email: 'lost@example.org' });
    const late = await mailed('lost@example.org', 'pcp_');
    people.clock.advance(5 * 60_000);
    expect(codeOf(await post('/auth/password/reset', { token: late, newPassword: PASSWORD }))).toEqual([400, 'RECOVERY_TOKEN_INVALID']);
  });

  it.each(['reset', 'change'])('leaves access tokens, unless it is told to end them, then in every tenant (%s)', async (way) => {
    const email = `automated-${way}@example.org`;
    const id = await people.member(email, 'VIEWER');
    await people.tenant(`automated-${way}`, { [id]: 'VIEWER' });
    let password = PASSWORD;
    const loginTo = async (tenant: string) => (await people.login(email, password, { body: { tenant } })).body.access_token ?? '';
    const pats: string[] = [];
    for (const tenant of ['default', `automated-${way}`]) {
      const made = await post('/pats', { name: 'x', duration: '1h', scopes: ['devices.device.read'] }, await loginTo(tenant));
      pats.push(made.body['secret'] as string);
    }
    const statuses = () => Promise.all(pats.map(async (token) => (await people.call('GET', '/probe/read', { token })).status));
    const renew = async (newPassword: string, more: object) => {
      if (way === 'change') return post('/auth/password/change', { currentPassword: password, newPassword, ...more }, await loginTo('default'));
      await post('/auth/password/forgot', { email });
      return post('/auth/password/reset', { token: await mailed(email, 'pcp_'), newPassword, ...more });
    };
    expect((await renew(NEW_PASSWORD, {})).body['tokensRevoked']).toBe(0);
    password = NEW_PASSWORD;
    expect(await statuses()).toEqual([200, 200]);
    expect((await renew(PASSWORD, { revokeTokens: true })).body['tokensRevoked']).toBe(2);
    expect(await statuses()).toEqual([401, 401]);
  });

  it('knows its own tokens only, and the newest alone', async () => {
    await people.member('twice@example.org', 'VIEWER');
    await post('/auth/password/forgot', { email: 'twice@example.org' });
    const first = await mailed('twice@example.org', 'pcp_');
    await post('/auth/password/forgot', { email: 'twice@example.org' });
    const second = await mailed('twice@example.org', 'pcp_');
    const forged = `${second.slice(0, -2)}${second.endsWith('AA') ? 'EA' : 'AA'}`;
    for (const token of [first, forged, second.replace('pcp_', 'pci_'), 'pcp_', people.adminToken]) {
      expect(codeOf(await post('/auth/password/reset', { token, newPassword: NEW_PASSWORD }))).toEqual([400, 'RECOVERY_TOKEN_INVALID']);
    }
    expect((await post('/auth/password/reset', { token: second, newPassword: NEW_PASSWORD })).status).toBe(200);
  });
});

describe('an invitation', () => {
  const invite = (email: string, role: string, token: string) => post('/invitations', { email, role }, token);

  it('brings a new person in, once', async () => {
    const admin = await people.tokenOf();
    const sent = await invite('fresh@example.org', 'OPERATOR', admin);
    expect([sent.status, sent.body['role']]).toEqual([201, 'OPERATOR']);
    expect(JSON.stringify(sent.body)).not.toContain('pci_');
    const list = await people.call('GET', '/invitations', { token: admin });
    expect((list.body['items'] as { email: string }[]).map(({ email }) => email)).toContain('fresh@example.org');
    const token = await mailed('fresh@example.org', 'pci_');
    expect(codeOf(await post('/invitations/accept', { token, password: PASSWORD }))).toEqual([400, 'VALIDATION_FAILED']);
    const tries = await Promise.all([1, 2].map(() => post('/invitations/accept', { token, password: PASSWORD, name: 'Fresh' })));
    expect(tries.map(({ status }) => status).sort()).toEqual([200, 400]);
    const me = await people.call('GET', '/auth/me', { token: await people.tokenOf('fresh@example.org') });
    expect(me.body).toMatchObject({ role: 'OPERATOR', tenant: { slug: 'default' } });
  });

  it('brings in somebody who has an account elsewhere, who alone can accept, and leaves the account as it is', async () => {
    const id = await people.member('elsewhere@example.org', 'ADMIN');
    const guestId = await people.member('host@example.org', 'VIEWER');
    const tenantId = await people.tenant('hosts', { [guestId]: 'ADMIN' });
    const host = (await people.login('host@example.org', PASSWORD, { body: { tenant: 'hosts' } })).body.access_token ?? '';
    await invite('elsewhere@example.org', 'VIEWER', host);
    const token = await mailed('elsewhere@example.org', 'pci_');
    expect(codeOf(await post('/invitations/accept', { token, password: NEW_PASSWORD, name: 'Thief' }))).toEqual([401, 'INVALID_CREDENTIALS']);
    const accepted = await post('/invitations/accept', { token, password: PASSWORD });
    expect([accepted.status, accepted.body.id, accepted.body['tenantId']]).toEqual([200, id, tenantId]);
    const memberships = await people.sql<{ role: string }>('SELECT role FROM memberships WHERE user_id = $1 ORDER BY role', [id]);
    expect(memberships.map(({ role }) => role)).toEqual(['ADMIN', 'VIEWER']);
    expect((await people.login('elsewhere@example.org', PASSWORD)).status).toBe(200);
  });

  it('ends after 168 hours, when it is taken back, and with the right of whoever sent it', async () => {
    const inviter = await people.member('leaver@example.org', 'ADMIN');
    const leaver = await people.tokenOf('leaver@example.org');
    const accept = async (email: string) =>
      codeOf(await post('/invitations/accept', { token: await mailed(email, 'pci_'), password: PASSWORD, name: 'x' }));
    const sent = await invite('taken-back@example.org', 'VIEWER', leaver);
    expect((await people.call('DELETE', `/invitations/${sent.body.id}`, { token: leaver })).status).toBe(204);
    expect(await accept('taken-back@example.org')).toEqual([400, 'INVITATION_INVALID']);
    await invite('too-high@example.org', 'ADMIN', leaver);
    await people.call('PATCH', `/users/${inviter}`, { token: await people.tokenOf(), body: { role: 'OPERATOR' } });
    expect(await accept('too-high@example.org')).toEqual([400, 'INVITATION_INVALID']);
    await people.call('PATCH', `/users/${inviter}`, { token: await people.tokenOf(), body: { role: 'ADMIN' } });
    await people.call('POST', `/users/${inviter}/disable`, { token: await people.tokenOf() });
    await people.call('POST', `/users/${inviter}/enable`, { token: await people.tokenOf() });
    expect(await accept('too-high@example.org')).toEqual([400, 'INVITATION_INVALID']);
    await invite('late@example.org', 'VIEWER', await people.tokenOf());
    const late = await mailed('late@example.org', 'pci_');
    people.clock.advance(168 * 3_600_000);
    expect(codeOf(await post('/invitations/accept', { token: late, password: PASSWORD, name: 'x' }))).toEqual([400, 'INVITATION_INVALID']);
  });

  it('gives nobody more than whoever sends it has', async () => {
    const admin = await people.tokenOf();
    const pat = await post('/pats', { name: 'hr', duration: '1h', scopes: ['users.user.create', 'users.user.update'] }, admin);
    const secret = pat.body['secret'] as string;
    expect(codeOf(await invite('climber@example.org', 'ADMIN', secret))).toEqual([403, 'GRANT_EXCEEDS_OWN']);
    expect(codeOf(await post('/users', { email: 'climber@example.org', password: PASSWORD, name: 'x', role: 'VIEWER' }, secret)))
      .toEqual([403, 'GRANT_EXCEEDS_OWN']);
  });
});

describe('another e-mail address', () => {
  it('takes the password and the word of both mailboxes, and ends every session', async () => {
    const session = await people.tokenOf('old@example.org');
    const ask = (password: string) => post('/auth/email/change', { newEmail: 'new@example.org', password }, session);
    expect(codeOf(await ask(NEW_PASSWORD))).toEqual([403, 'CURRENT_PASSWORD_WRONG']);
    expect((await ask(PASSWORD)).status).toBe(200);
    const [byOld, byNew] = [await mailed('old@example.org', 'pce_'), await mailed('new@example.org', 'pce_')];
    expect((await post('/auth/email/confirm', { token: byNew })).body).toEqual({ changed: false });
    expect(codeOf(await post('/auth/email/confirm', { token: byNew }))).toEqual([400, 'CONFIRMATION_TOKEN_INVALID']);
    expect((await people.call('GET', '/auth/me', { token: session })).body['email']).toBe('old@example.org');
    expect((await post('/auth/email/confirm', { token: byOld })).body).toEqual({ changed: true });
    expect((await people.call('GET', '/auth/me', { token: session })).status).toBe(401);
    expect((await people.login('new@example.org')).status).toBe(200);
    expect((await people.login('old@example.org')).status).toBe(401);
  });

  it('that is taken is told to its mailbox alone', async () => {
    const session = await people.tokenOf('wishful@example.org');
    expect((await post('/auth/email/change', { newEmail: ADMIN_EMAIL, password: PASSWORD }, session)).body).toEqual({ accepted: true });
    const [byOld, byNew] = [await mailed('wishful@example.org', 'pce_'), await mailed(ADMIN_EMAIL, 'pce_')];
    expect((await post('/auth/email/confirm', { token: byOld })).body).toEqual({ changed: false });
    expect(codeOf(await post('/auth/email/confirm', { token: byNew }))).toEqual([409, 'USER_EMAIL_TAKEN']);
    expect((await people.login()).status).toBe(200);
  });
});

describe('without a mail server', () => {
  it('production refuses what it could not deliver, for known and unknown alike', async () => {
    const bare = await openPeople({ change: (config) => ({ ...config, production: true }), loggedIn: false });
    try {
      for (const email of [ADMIN_EMAIL, 'unknown@example.org']) {
        const refused = await bare.call('POST', '/auth/password/forgot', { body: { email } });
        expect([refused.status, refused.body.code]).toEqual([503, 'MAIL_NOT_CONFIGURED']);
      }
    } finally {
      await bare.close();
    }
  });
});
