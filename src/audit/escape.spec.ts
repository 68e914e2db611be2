import fc from 'fast-check';
import { boundedJson, cleanText, MAX_DETAILS_BYTES, MAX_TEXT } from './escape.js';

const parsed = (...sources: Record<string, unknown>[]) => JSON.parse(boundedJson(...sources)) as Record<string, unknown>;

describe('cleanText', () => {
  it('replaces NUL, other controls and halves of surrogate pairs, and keeps whole pairs', () => {
    expect(cleanText('a\u0000b\u001b[31m\u009b\ud800c\udc00d😀é')).toBe('a\ufffdb\ufffd[31m\ufffd\ufffdc\ufffdd😀é');
  });

  it('cuts long texts, never through a surrogate pair', () => {
    const cut = cleanText('😀'.repeat(MAX_TEXT));
    expect(cut.length).toBeLessThanOrEqual(MAX_TEXT);
    expect(cut.endsWith('…')).toBe(true);
    expect(() => encodeURIComponent(cut)).not.toThrow();
  });

  it.each([
    ['a client secret', `login with pcs_${'A'.repeat(43)} failed`, 'login with [redacted] failed'],
    ['an access token', `pat_${'b'.repeat(43)}`, '[redacted]'],
    ['a JSON web token', 'was eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln ok', 'was [redacted] ok'],
  ])('leaves %s out', (_what, text, clean) => {
    expect(cleanText(text)).toBe(clean);
  });
});

describe('boundedJson', () => {
  it('leaves members out that can only hold a secret', () => {
    expect(parsed({ client_secret: 'x', newPassword: 'x', Authorization: 'x', nested: { access_token: ['x'] }, secretId: 'kept' })).toEqual({
      client_secret: '[redacted]', newPassword: '[redacted]', Authorization: '[redacted]', nested: { access_token: '[redacted]' }, secretId: 'kept',
    });
  });

  it('tells what it cannot write: cycles, big integers, buffers, dates, errors, not-a-number, functions', () => {
    const cyclic: Record<string, unknown> = { big: 10n, bytes: Buffer.alloc(3), nan: Number.NaN, when: new Date(0), run: () => 1, no: undefined };
    cyclic['self'] = cyclic;
    cyclic['list'] = [cyclic, undefined, new Error('bad\u0000')];
    expect(parsed(cyclic)).toEqual({
      big: '10', bytes: '[3 bytes]', nan: 'NaN', when: '1970-01-01T00:00:00.000Z', self: '[circular]', list: ['[circular]', null, 'Error: bad\ufffd'],
    });
  });

  it('survives getters and proxies that throw', () => {
    const hostile = new Proxy({}, { ownKeys: () => { throw new Error('no'); } });
    const source = { a: 1, hostile, get b(): string { throw new Error('no'); } };
    expect(parsed(source)).toMatchObject({ a: 1, hostile: { unreadable: true }, unreadable: true });
  });

  it('bounds depth, members and items, and says so', () => {
    let deep: Record<string, unknown> = { end: true };
    for (let i = 0; i < 2_000; i += 1) deep = { deep };
    const wide = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`m${i}`, i]));
    const result = parsed({ deep, wide, list: Array.from({ length: 200 }, (_, i) => i) });
    expect(Object.keys(result['wide'] as object)).toHaveLength(50);
    expect(result['list']).toHaveLength(50);
    expect(result['truncated']).toBe(true);
  });

  it('gives a member to the first source that has it', () => {
    expect(parsed({ count: 2 }, { count: 9, topic: 't' })).toEqual({ count: 2, topic: 't' });
  });

  it('never throws and never exceeds its bytes, whatever it is given', () => {
    const anything = fc.anything({ withBigInt: true, withDate: true, withMap: true, withSet: true, withTypedArray: true, maxDepth: 8, maxKeys: 60 });
    fc.assert(fc.property(fc.dictionary(fc.string({ unit: 'binary' }), fc.oneof(anything, fc.string({ unit: 'binary', minLength: 400, maxLength: 900 }))), (source) => {
      const json = boundedJson(source);
      expect(Buffer.byteLength(json)).toBeLessThanOrEqual(MAX_DETAILS_BYTES);
      expect(json).not.toMatch(/\\u0000|\\ud[89a-f]/i);
      JSON.parse(json);
    }), { numRuns: 300 });
    const heavy = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`k${i}`, '€'.repeat(5_000)]));
    expect(Buffer.byteLength(boundedJson({ a: heavy, b: heavy, c: [heavy, heavy] }))).toBeLessThanOrEqual(MAX_DETAILS_BYTES);
  });
});
