import { authError } from '../../src/auth/auth.errors.js';
import { Passwords } from '../../src/auth/passwords.js';
import { LIMITS } from '../../src/rate-limit/limits.js';
import { ADMIN_EMAIL, openPeople, PASSWORD, type Answer, type People } from '../factories/people.js';
import { distinguishability, median } from '../factories/statistics.js';
import { until } from '../factories/until.js';

const WRONG = 'not-the-password-9';

const countBy = (answers: readonly Answer[]): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const { status, body } of answers) {
    const key = `${status} ${body.code ?? ''}`.trim();
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
};

/** Addresses of a crowd; documentation's range for benchmarks (RFC 2544), so that none is anybody's. */
const address = (n: number): string => `198.18.${n >> 8}.${n & 255}`;

describe('the time of a refused login', () => {
  const PAIRS = 100;
  const ACCOUNTS = 5;
  /** Five standard deviations: by chance one run in a million. A check that is left out tells every try apart. */
  const SIGMAS = 5;

  let people: People;
  beforeAll(async () => (people = await openPeople({ rounds: 8 })));
  afterAll(() => people.close());

  it('does not tell whether there is such an account, over 200 tries', async () => {
    const known = Array.from({ length: ACCOUNTS }, (_, i) => `known-${i}@example.org`);
    const unknown = Array.from({ length: ACCOUNTS }, (_, i) => `nobody-${i}@example.org`);
    for (const email of known) await people.member(email, 'VIEWER');
    const tried = { known: [] as number[], unknown: [] as number[] };
    const attempt = async (email: string, from: number): Promise<number> => {
      const started = performance.now();
      const { status } = await people.login(email, WRONG, { address: address(from) });
      const ms = performance.now() - started;
      if (status !== 401) throw new Error(`answered ${status}`);
      return ms;
    };
    // The first ones pay for what is compiled and cached once.
    for (let i = 0; i < 2 * ACCOUNTS; i += 1) await attempt((i % 2 === 0 ? known : unknown)[i % ACCOUNTS] ?? '', 1_000 + i);
    for (let i = 0; i < PAIRS; i += 1) {
      // Side by side, and each as often first: what slows the machine down slows both.
      const pair = [['known', known], ['unknown', unknown]] as const;
      for (const [kind, emails] of i % 2 === 0 ? pair : [...pair].reverse()) {
        tried[kind].push(await attempt(emails[i % ACCOUNTS] ?? '', i));
      }
    }
    const { auc, sigma } = distinguishability(tried.known, tried.unknown);
    console.info(`login refused for known and unknown accounts, ${PAIRS} tries each: medians ${median(tried.known).toFixed(2)} and `
      + `${median(tried.unknown).toFixed(2)} ms; told apart by time with probability ${auc.toFixed(3)} (0.5: not at all; by chance ±${sigma.toFixed(3)})`);
    expect(Math.abs(auc - 0.5)).toBeLessThan(SIGMAS * sigma);
  });
});

describe('a thousand wrong passwords from many addresses', () => {
  let people: People;
  beforeAll(async () => (people = await openPeople({ rounds: 4 })));
  afterAll(() => people.close());

  it('do not keep the owner out: at any moment, from elsewhere, and from a browser that the account knows at an address of theirs', async () => {
    const entered = await people.login(ADMIN_EMAIL, PASSWORD, { body: { transport: 'cookie' }, address: address(4_000) });
    const mark = entered.cookies.get('known_browser')?.value ?? '';
    expect(mark).not.toBe('');
    const refused: Answer[] = [];
    const owners: Answer[] = [];
    for (let round = 0; round < 20; round += 1) {
      // 50 at a time from 250 addresses, each four times.
      const crowd = Array.from({ length: 50 }, (_, i) => people.login(ADMIN_EMAIL, WRONG, { address: address((round * 50 + i) % 250) }));
      owners.push(await people.login(ADMIN_EMAIL, PASSWORD, { address: address(5_000 + round) }));
      const known = { body: { transport: 'cookie' }, cookies: { known_browser: mark }, address: address(round) };
      owners.push(await people.login(ADMIN_EMAIL, PASSWORD, known));
      refused.push(...(await Promise.all(crowd)));
    }
    expect(countBy(refused)).toEqual({ '401 INVALID_CREDENTIALS': 1_000 });
    expect(countBy(owners)).toEqual({ '200': 40 });
    expect((await people.sql<{ status: string }>('SELECT status FROM users WHERE email_key = $1', [ADMIN_EMAIL]))[0]?.status).toBe('ACTIVE');
  });

  it('leave a known browser a way in at the first try however many wait, and anybody else one on coming again', async () => {
    const entered = await people.login(ADMIN_EMAIL, PASSWORD, { body: { transport: 'cookie' }, address: address(4_001) });
    const mark = entered.cookies.get('known_browser')?.value ?? '';
    const bcrypt = (await import('bcrypt')).default;
    const compare = bcrypt.compare.bind(bcrypt);
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    // Nothing is checked until everybody is there: two under way, the line full, the rest turned away.
    const spy = jest.spyOn(bcrypt, 'compare') as unknown as jest.SpyInstance<Promise<boolean>, [string, string]>;
    spy.mockImplementation((data, hash) => gate.then(() => compare(data, hash)));
    try {
      let answered = 0;
      const crowd = Array.from({ length: 150 }, (_, i) =>
        people.login(ADMIN_EMAIL, WRONG, { address: address(6_000 + i) }).finally(() => (answered += 1)));
      await until('the line is full', () => answered === 150 - 66);
      const stranger = () => people.login(ADMIN_EMAIL, PASSWORD, { address: address(7_002) });
      const told = await stranger();
      expect([told.status, told.body.code, told.headers['retry-after']]).toEqual([503, 'PASSWORD_CHECKS_BUSY', '2']);
      const known = people.login(ADMIN_EMAIL, PASSWORD, { body: { transport: 'cookie' }, cookies: { known_browser: mark }, address: address(7_001) });
      // By the time that two more were turned away, it would have been as well.
      let turnedAway = false;
      void known.then(() => (turnedAway = true));
      for (let i = 0; i < 2; i += 1) expect((await stranger()).status).toBe(503);
      expect(turnedAway).toBe(false);
      open();
      expect((await known).status).toBe(200);
      expect(countBy(await Promise.all(crowd))).toEqual({ '401 INVALID_CREDENTIALS': 66, '503 PASSWORD_CHECKS_BUSY': 84 });
      expect((await stranger()).status).toBe(200);
    } finally {
      spy.mockRestore();
    }
  });

  it('are no failures where nobody had the time to look at them', async () => {
    const passwords = people.app.get(Passwords, { strict: false });
    const spy = jest.spyOn(passwords, 'verify').mockImplementation(() => Promise.reject(authError('PASSWORD_CHECKS_BUSY')));
    try {
      for (let i = 0; i < 2 * LIMITS['login.account'].burst; i += 1) {
        expect((await people.login(ADMIN_EMAIL, PASSWORD, { address: address(8_000) })).status).toBe(503);
      }
    } finally {
      spy.mockRestore();
    }
    expect((await people.login(ADMIN_EMAIL, PASSWORD, { address: address(8_000) })).status).toBe(200);
  });
});
