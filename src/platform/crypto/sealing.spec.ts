import { randomBytes } from 'node:crypto';
import { equalsAny, equalSecrets } from './constant-time.js';
import { openBytes, sealBytes } from './sealing.js';

describe('a sealed value', () => {
  const key = randomBytes(32);
  const plaintext = Buffer.from('thirty-two bytes of hmac secret!');

  it('opens under its key and context', () => {
    expect(openBytes(key, 'a', sealBytes(key, 'a', plaintext))).toEqual(plaintext);
  });

  it('is never the same twice', () => {
    expect(sealBytes(key, 'a', plaintext)).not.toEqual(sealBytes(key, 'a', plaintext));
  });

  it('does not open in another place, so that rows cannot be swapped', () => {
    expect(() => openBytes(key, 'b', sealBytes(key, 'a', plaintext))).toThrow();
  });

  it('does not open under another key, cut short, or with any bit changed', () => {
    const sealed = sealBytes(key, 'a', plaintext);
    expect(() => openBytes(randomBytes(32), 'a', sealed)).toThrow();
    for (let length = 0; length < sealed.length; length += 1) expect(() => openBytes(key, 'a', sealed.subarray(0, length))).toThrow();
    for (let i = 0; i < sealed.length; i += 1) {
      const changed = Buffer.from(sealed);
      changed[i] = (changed[i] ?? 0) ^ 1;
      expect(() => openBytes(key, 'a', changed)).toThrow();
    }
  });
});

describe('comparison of secrets', () => {
  it('tells equal from different, whatever the lengths', () => {
    expect(equalSecrets('abc', 'abc')).toBe(true);
    expect(equalSecrets('abc', 'abcd')).toBe(false);
    expect(equalSecrets('', 'a')).toBe(false);
  });

  it('finds one of several', () => {
    expect(equalsAny('b', ['a', 'b'])).toBe(true);
    expect(equalsAny('c', ['a', 'b'])).toBe(false);
    expect(equalsAny('', [])).toBe(false);
  });
});
