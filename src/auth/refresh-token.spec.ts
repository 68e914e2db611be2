import { randomBytes, randomUUID } from 'node:crypto';
import { digestOf, isGenuine, makeRefreshToken, parseRefreshToken } from './refresh-token.js';

const KEY = randomBytes(32);

describe('a refresh token', () => {
  it('names its account and session and is never the same twice', () => {
    const [userId, sessionId] = [randomUUID(), randomUUID()];
    const first = makeRefreshToken(KEY, userId, sessionId);
    expect(first.token).toMatch(/^pcr_[A-Za-z0-9_-]{107}$/);
    expect(parseRefreshToken(first.token)).toEqual({ userId, sessionId, bytes: first.bytes });
    expect(makeRefreshToken(KEY, userId, sessionId).token).not.toBe(first.token);
  });

  it('is genuine only as it was made, under the key it was made with', () => {
    const { token } = makeRefreshToken(KEY, randomUUID(), randomUUID());
    const parsed = parseRefreshToken(token)!;
    expect(isGenuine(KEY, parsed)).toBe(true);
    expect(isGenuine(randomBytes(32), parsed)).toBe(false);
    for (let at = 0; at < parsed.bytes.length; at += 1) {
      const bytes = Buffer.from(parsed.bytes);
      bytes[at] = bytes[at]! ^ 1;
      const changed = parseRefreshToken(`pcr_${bytes.toString('base64url')}`)!;
      expect(isGenuine(KEY, changed)).toBe(false);
      expect(digestOf(KEY, bytes).equals(digestOf(KEY, parsed.bytes))).toBe(false);
    }
  });

  it.each([
    ['nothing', ''],
    ['the prefix alone', 'pcr_'],
    ['another prefix', `pcs_${'A'.repeat(107)}`],
    ['one character less', `pcr_${'A'.repeat(106)}`],
    ['one character more', `pcr_${'A'.repeat(108)}`],
    ['padding', `pcr_${'A'.repeat(107)}=`],
    ['a blank within', `pcr_${'A'.repeat(50)} ${'A'.repeat(57)}`],
    ['bits beyond the last byte', `pcr_${'A'.repeat(106)}B`],
    ['a JWT', 'eyJhbGciOiJIUzI1NiJ9.e30.c2ln'],
  ])('does not read %s', (_, text) => expect(parseRefreshToken(text)).toBeNull());
});
