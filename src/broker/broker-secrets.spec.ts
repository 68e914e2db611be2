import { BrokerSecrets } from './broker-secrets.js';

const OLD = 'o'.repeat(48);
const NEW = 'n'.repeat(64);

describe('The broker’s secrets', () => {
  const secrets = new BrokerSecrets([OLD, NEW]);

  it('are both accepted during a rotation, in any order and again and again', () => {
    expect([OLD, NEW, NEW, OLD, OLD].map((secret) => secrets.accept(secret))).toEqual([true, true, true, true, true]);
  });

  it.each([
    ['nothing', ''],
    ['a beginning', OLD.slice(0, -1)],
    ['more than the secret', `${OLD}o`],
    ['the secret with NUL behind it', `${OLD}\0`],
    ['another of the same length', `${OLD.slice(0, -1)}p`],
    ['one in other letters', OLD.toUpperCase()],
    ['what is longer than any block', 'o'.repeat(10_000)],
    ['the rest of one that was compared before', `${OLD.slice(0, 1)}${NEW.slice(1)}`],
  ])('refuse %s, whatever was compared before', (_what, given) => {
    secrets.accept(NEW);
    expect(secrets.accept(given)).toBe(false);
    secrets.accept(OLD);
    expect(secrets.accept(given)).toBe(false);
  });

  it('may be longer than the usual block, and a cut one is not taken for it', () => {
    const long = 'l'.repeat(1_000);
    const both = new BrokerSecrets([long, OLD]);
    expect([long, OLD, `${long}l`, long.slice(0, 256)].map((given) => both.accept(given))).toEqual([true, true, false, false]);
  });

  it('outside ASCII are the bytes of their UTF-8, as a broker sends them', () => {
    const secret = `ü${OLD}`;
    const one = new BrokerSecrets([secret]);
    const received = Buffer.from(secret, 'utf8').toString('latin1');
    expect([one.accept(received), one.accept(secret), one.accept(`u${OLD}`), one.accept(OLD)]).toEqual([true, false, false, false]);
  });

  it('that do not exist accept nobody', () => {
    expect(new BrokerSecrets([]).accept('')).toBe(false);
  });
});
