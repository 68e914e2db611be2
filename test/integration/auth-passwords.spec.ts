import { BootstrapService } from '../../src/auth/bootstrap.service.js';
import { PASSWORD_ROUNDS, Passwords } from '../../src/auth/passwords.js';
import { DataKeys } from '../../src/platform/crypto/data-keys.js';
import { ADMIN_EMAIL, openPeople, PASSWORD, type People } from '../factories/people.js';

const OWNER = { email: 'ada@example.org', name: 'Ada' };

describe('the hash of a password', () => {
  let people: People;
  let passwords: Passwords;

  beforeAll(async () => {
    people = await openPeople();
    passwords = people.app.get(Passwords, { strict: false });
  });

  afterAll(() => people.close());

  const matches = async (stored: string, given: string) => (await passwords.verify(given, stored, 'known')).matches;

  it('takes every character into account, beyond the 72 bytes of bcrypt', async () => {
    const long = 'vbx7-aqk'.repeat(9);
    expect(Buffer.byteLength(long)).toBe(72);
    const stored = await passwords.hash(`${long}A`, OWNER);
    expect(await matches(stored, `${long}A`)).toBe(true);
    expect(await matches(stored, `${long}B`)).toBe(false);
    expect(await matches(stored, long)).toBe(false);
    const longest = `${'vbx7-aqk'.repeat(15)}1234567`;
    const storedLongest = await passwords.hash(`${longest}x`, OWNER);
    expect(await matches(storedLongest, `${longest}y`)).toBe(false);
    expect(await matches(storedLongest, `${longest}x`)).toBe(true);
  });

  it('takes every character into account, whatever its script and form', async () => {
    const composed = 'caf\u00e9-lantern';
    const decomposed = 'cafe\u0301-lantern';
    const stored = await passwords.hash(composed, OWNER);
    expect(await matches(stored, composed)).toBe(true);
    expect(await matches(stored, decomposed)).toBe(false);
    expect(await matches(stored, composed.toUpperCase())).toBe(false);
    expect(await matches(stored, ` ${composed}`)).toBe(false);
    const emoji = await passwords.hash('🔑🐎🔋📎🦉🌊🧵🪵', OWNER);
    expect(await matches(emoji, '🔑🐎🔋📎🦉🌊🧵🪵')).toBe(true);
    expect(await matches(emoji, '🔑🐎🔋📎🦉🌊🧵🧊')).toBe(false);
  });

  it('does not end at NUL', async () => {
    await expect(passwords.hash('vbx7-aqk\0one', OWNER)).rejects.toMatchObject({ code: 'PASSWORD_NOT_ACCEPTED' });
    const stored = await passwords.hash('vbx7-aqk', OWNER);
    expect(await matches(stored, 'vbx7-aqk\0')).toBe(false);
    expect(await matches(stored, 'vbx7-aqk\0tail')).toBe(false);
  });

  it('is never the same twice', async () => {
    expect(await passwords.hash(PASSWORD, OWNER)).not.toBe(await passwords.hash(PASSWORD, OWNER));
  });

  it('is worth nothing without the pepper', async () => {
    const stored = await passwords.hash(PASSWORD, OWNER);
    const bcrypt = (await import('bcrypt')).default;
    const bare = stored.split(':')[2] ?? '';
    expect(await bcrypt.compare(PASSWORD, bare)).toBe(false);
    expect(await matches(`v1:${'0'.repeat(8)}-0000-4000-8000-${'0'.repeat(12)}:${bare}`, PASSWORD).catch((error: Error) => error.message))
      .toMatch(/pepper .* is gone/);
  });

  it('matches nothing for an account that does not exist, or whose row is damaged', async () => {
    for (const stored of [null, '', 'v1:', 'plaintext', PASSWORD]) {
      for (const given of [PASSWORD, '', 'x']) expect(await passwords.verify(given, stored, 'known')).toEqual({ matches: false, outdated: false });
    }
  });

  it('that was made more cheaply still matches, and is said to be outdated; a dearer one is not', async () => {
    const dearer = new Passwords(people.app.get(DataKeys, { strict: false }), 5);
    const cheap = await passwords.hash(PASSWORD, OWNER);
    expect(await dearer.verify(PASSWORD, cheap, 'known')).toEqual({ matches: true, outdated: true });
    expect(await dearer.verify('wrong', cheap, 'known')).toEqual({ matches: false, outdated: false });
    expect(await passwords.verify(PASSWORD, await dearer.rehash(PASSWORD), 'known')).toEqual({ matches: true, outdated: false });
  });

  it('is checked at cost 12 unless a test says otherwise', async () => {
    expect(people.app.get<number>(PASSWORD_ROUNDS, { strict: false })).toBe(4);
    const { DEFAULT_ROUNDS } = await import('../../src/auth/passwords.js');
    expect(DEFAULT_ROUNDS).toBe(12);
  });
});

describe('a hash of a lower cost', () => {
  it('is replaced when its owner logs in', async () => {
    const people = await openPeople({ rounds: 5 });
    try {
      const cheap = new Passwords(people.app.get(DataKeys, { strict: false }), 4);
      await people.sql('UPDATE users SET password_hash = $1', [await cheap.rehash(PASSWORD)]);
      expect((await people.login()).status).toBe(200);
      const [row] = await people.sql<{ hash: string }>('SELECT password_hash AS hash FROM users');
      expect(row?.hash).toMatch(/\$2b\$05\$/);
      expect((await people.login()).status).toBe(200);
    } finally {
      await people.close();
    }
  });
});

describe('the first admin', () => {
  it('is made once: ADMIN of default and PLATFORM_ADMIN, in the log as CRITICAL', async () => {
    const people = await openPeople();
    try {
      expect(people.firstAdmin).toEqual({ email: ADMIN_EMAIL, password: null });
      const me = await people.call('GET', '/auth/me', { token: people.adminToken });
      expect(me.body).toMatchObject({ email: ADMIN_EMAIL, role: 'ADMIN', platformRole: 'PLATFORM_ADMIN', tenant: { slug: 'default' } });
      expect(await people.app.get(BootstrapService, { strict: false }).ensureFirstAdmin()).toBeNull();
      const events = await people.audited('USER_BOOTSTRAPPED');
      expect(events.map((event) => event.severity)).toEqual(['CRITICAL']);
    } finally {
      await people.close();
    }
  });

  it('is made by one of several instances that start at once', async () => {
    const people = await openPeople();
    try {
      await people.sql('DELETE FROM sessions');
      await people.sql('DELETE FROM users');
      const bootstrap = people.app.get(BootstrapService, { strict: false });
      const made = await Promise.all([1, 2, 3, 4].map(() => bootstrap.ensureFirstAdmin()));
      expect(made.filter((admin) => admin !== null)).toEqual([{ email: ADMIN_EMAIL, password: null }]);
      expect(await people.sql('SELECT 1 FROM users')).toHaveLength(1);
    } finally {
      await people.close();
    }
  });

  it('gets a generated password of 24 characters where none is configured, told once', async () => {
    const people = await openPeople({ change: (config) => ({ ...config, bootstrap: { email: 'gen@example.org' } }), loggedIn: false });
    try {
      expect(people.firstAdmin).toEqual({ email: 'gen@example.org', password: expect.stringMatching(/^[A-Za-z0-9_-]{24}$/) });
      expect((await people.login('gen@example.org', people.firstAdmin?.password ?? '')).status).toBe(200);
      expect(JSON.stringify(await people.audited('USER_BOOTSTRAPPED'))).not.toContain(people.firstAdmin?.password);
    } finally {
      await people.close();
    }
  });

  it.each([
    ['no password in production', { production: true, bootstrap: { email: ADMIN_EMAIL } }, /^There is no user yet: set ADMIN_EMAIL and/],
    ['a common password', { bootstrap: { email: ADMIN_EMAIL, password: 'password123' } }, /^ADMIN_PASSWORD cannot be used: password is/],
    ['a short password', { bootstrap: { email: ADMIN_EMAIL, password: 'short' } }, /^ADMIN_PASSWORD cannot be used: password must have/],
    ['an e-mail that is none', { bootstrap: { email: 'admin', password: PASSWORD } }, /^ADMIN_EMAIL is not an e-mail address/],
  ])('is refused with one clear sentence: %s', async (_, change, sentence) => {
    await expect(openPeople({ change: (config) => ({ ...config, ...change }) })).rejects.toThrow(sentence);
  });
});
