import fc from 'fast-check';
import { canonicalize, parseIJson, type JsonObject, type JsonValue } from './canonical-json.js';
import { readCanonicalText } from './canonical-text.js';

const word = fc.oneof({ weight: 9, arbitrary: fc.stringMatching(/^[a-zäß€ ]{0,5}$/) }, { weight: 1, arbitrary: fc.string({ unit: 'grapheme', maxLength: 3 }) });
const number = fc.oneof(fc.integer({ min: -1_000, max: 1_000 }).map((hundredths) => hundredths / 100), fc.double({ noNaN: true, noDefaultInfinity: true }));
const { value: anything } = fc.letrec<{ value: JsonValue }>((tie) => ({
  value: fc.oneof({ maxDepth: 3, depthSize: 'small' }, word, number, fc.constantFrom(null, true, false), fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(word, tie('value'), { maxKeys: 4 })),
}));
const object = fc.dictionary(word, anything, { maxKeys: 5 });
const RUNS = process.env['PORTCULLIS_LONG'] === '1' ? 200_000 : 3_000;
const PIECES = [' ', '\n', '"', '\\', '{', '}', '[', ']', ',', ':', '-', '.', '0', '1', '9', 'e', 'E+', 'true', '"a":1,', '\u0000', '\ud800', '😀'];

/** What the close reading makes of it: the canonical form, or null where it is no I-JSON object. */
function closely(text: string): string | null {
  const value = parseIJson(text);
  return value === undefined || typeof value !== 'object' || value === null || Array.isArray(value) ? null : canonicalize(value);
}

function plainly(text: string): string | null {
  const read = readCanonicalText(text);
  return read === null ? null : `{${read.members.map((member) => member.text).join(',')}}`;
}

describe('text that is canonical as it came', () => {
  it('is never read otherwise than the close reading reads it, whatever was done to it', () => {
    let taken = 0;
    const edits = fc.array(fc.record({ at: fc.nat(), drop: fc.nat({ max: 3 }), put: fc.constantFrom('', ...PIECES) }), { maxLength: 3 });
    fc.assert(fc.property(object, fc.boolean(), edits, (value, outerOrder, changes) => {
      let text = outerOrder ? shuffled(value) : canonicalize(value);
      for (const { at, drop, put } of changes) {
        const place = at % (text.length + 1);
        text = text.slice(0, place) + put + text.slice(place + drop);
      }
      const plain = plainly(text);
      if (plain === null) return;
      taken += 1;
      expect(plain).toBe(closely(text));
    }), { numRuns: RUNS });
    expect(taken).toBeGreaterThan(RUNS / 10);
  });

  it('has only numbers that ECMAScript writes so', () => {
    const digits = fc.stringMatching(/^-?[0-9]{1,20}(\.[0-9]{0,20})?([eE][+-]?[0-9]{1,3})?$/);
    const written = fc.double().map(String);
    let taken = 0;
    fc.assert(fc.property(fc.oneof(digits, written), (number) => {
      const text = `{"a":${number}}`;
      const plain = plainly(text);
      if (plain === null) return;
      taken += 1;
      expect(plain).toBe(closely(text));
      expect(plain).toBe(text);
    }), { numRuns: RUNS });
    expect(taken).toBeGreaterThan(RUNS / 10);
  });

  it.each([
    ['{"a":[0,-1,21.5,0.000001,123456789012345,1e+30,5e-324,0.30000000000000004],"b":{"x":true,"xy":null,"y":{}},"c":"ü€"}', true],
    ['{"ts":1,"nonce":"n","data":{"a":[],"b":""}}', false],
  ])('is taken as it stands: %s', (text, sorted) => {
    expect(readCanonicalText(text)?.sorted).toBe(sorted);
    expect(plainly(text)).toBe(closely(text));
  });

  it.each([
    '{"a":{"c":1,"b":2}}', '{"a":1,"a":2}', '{"b":1,"a":1,"b":1}', '{"a":{"b":1,"b":1}}', '{"a":-0}', '{"a":1.0}', '{"a":1.50}', '{"a":0.0000001}', '{"a":01}',
    '{"a":1e5}', '{"a":1E+30}', '{"a":.5}', '{"a":1.}', '{"a":-}', '{"a":12345678901234567890}', '{"a":0.1234567890123456789}', '{"a": 1}', '{"a":1} ', ' {}',
    '{"a":"\\n"}', '{"a":"\\u0041"}', '{"a":"\ud800"}', '{"a":"\u0001"}', '{"a":1}}', '{"a":1', '{"a"}', '{"a":}', '{"a":1,}', '{"a":[1,]}', '{"a":tru}', '[]', '1',
    '', `{"a":${'['.repeat(64)}${']'.repeat(64)}}`,
  ])('is not %s', (text) => {
    expect(readCanonicalText(text)).toBeNull();
  });
});

/** Members of the outermost object in another order. */
function shuffled(value: JsonObject): string {
  return `{${Object.keys(value).sort().reverse().map((name) => `${JSON.stringify(name)}:${canonicalize(value[name] as JsonValue)}`).join(',')}}`;
}
