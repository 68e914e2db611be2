import fc from 'fast-check';
import { canonicalize, MAX_DEPTH, parseIJson, type JsonValue } from './canonical-json.js';

describe('canonical JSON', () => {
  it('writes the example of RFC 8785 §3.2.2', () => {
    const text = `{
      "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\"\\/",
      "literals": [null, true, false]
    }`;
    expect(canonicalize(parseIJson(text)!)).toBe(
      `{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\\u000f\\nA'B\\"\\\\\\\\\\"/"}`,
    );
  });

  it('sorts by UTF-16 code units as in RFC 8785 §3.2.3', () => {
    const text = `{"\\u20ac":"Euro Sign","\\r":"Carriage Return","\\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One",
      "\\ud83d\\ude00":"Emoji: Grinning Face","\\u0080":"Control","\\u00f6":"Latin Small Letter O With Diaeresis"}`;
    expect(Object.values(JSON.parse(canonicalize(parseIJson(text)!)) as object)).toHaveLength(7);
    expect(canonicalize(parseIJson(text)!)).toBe(
      '{"\\r":"Carriage Return","1":"One","\u0080":"Control","ö":"Latin Small Letter O With Diaeresis","€":"Euro Sign",'
        + '"😀":"Emoji: Grinning Face","\ufb33":"Hebrew Letter Dalet With Dagesh"}',
    );
  });

  it.each([
    ['0000000000000000', '0'],
    ['8000000000000000', '0'],
    ['0000000000000001', '5e-324'],
    ['8000000000000001', '-5e-324'],
    ['7fefffffffffffff', '1.7976931348623157e+308'],
    ['ffefffffffffffff', '-1.7976931348623157e+308'],
    ['4340000000000000', '9007199254740992'],
    ['c340000000000000', '-9007199254740992'],
    ['4430000000000000', '295147905179352830000'],
    ['44b52d02c7e14af5', '9.999999999999997e+22'],
    ['44b52d02c7e14af6', '1e+23'],
    ['44b52d02c7e14af7', '1.0000000000000001e+23'],
    ['444b1ae4d6e2ef4e', '999999999999999700000'],
    ['444b1ae4d6e2ef4f', '999999999999999900000'],
    ['444b1ae4d6e2ef50', '1e+21'],
    ['3eb0c6f7a0b5ed8c', '9.999999999999997e-7'],
    ['3eb0c6f7a0b5ed8d', '0.000001'],
    ['41b3de4355555553', '333333333.3333332'],
    ['41b3de4355555554', '333333333.33333325'],
    ['41b3de4355555555', '333333333.3333333'],
    ['41b3de4355555556', '333333333.3333334'],
    ['41b3de4355555557', '333333333.33333343'],
    ['becbf647612f3696', '-0.0000033333333333333333'],
    ['43143ff3c1cb0959', '1424953923781206.2'],
  ])('writes the number %s of RFC 8785, appendix B, as %s', (hex, text) => {
    expect(canonicalize(Buffer.from(hex, 'hex').readDoubleBE())).toBe(text);
  });

  it('is the same again when what it wrote is read back', () => {
    fc.assert(fc.property(fc.jsonValue({ maxDepth: 5 }) as fc.Arbitrary<unknown> as fc.Arbitrary<JsonValue>, (value) => {
      const text = canonicalize(value);
      const read = parseIJson(text);
      // Whole numbers beyond 2^53 - 1 and halves of surrogate pairs are no I-JSON.
      if (read === undefined) return;
      expect(canonicalize(read)).toBe(text);
      expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
    }), { numRuns: 500 });
  });
});

describe('strict JSON', () => {
  it.each([
    '{"a":1,"a":1}', '{"a":1,"\\u0061":2}', '{"x":[{"a":{},"b":1,"a":{}}]}', '{"__proto__":1,"__proto__":2}', '{"a":{"b":1},"a":2}',
    '1e400', '-1e400', '9007199254740993', '-9007199254740992', '1e-400', '0.1234567890123456789', '3.141592653589793238462643383279',
    '9.007199254740993e15', '1e20', '123456789012345678901234567890',
    '"\\ud800"', '"\\udc00\\ud800"', '{"\\ud83d":1}', '["\\ud83dx\\ude00"]',
    '', ' ', '{', '{"a":}', "{'a':1}", '{"a":1,}', '01', '+1', '.5', 'NaN', 'Infinity', 'undefined', '\ufeff{}', '{"a":1}x', '"\u0001"',
    '['.repeat(MAX_DEPTH + 1) + ']'.repeat(MAX_DEPTH + 1), '['.repeat(5_000),
  ])('refuses %s', (text) => {
    expect(parseIJson(text)).toBeUndefined();
  });

  it.each([
    ['{"a":{"a":{"a":":,{}[]\\""}}}', { a: { a: { a: ':,{}[]"' } } }],
    ['{"":1," ":2}', { '': 1, ' ': 2 }],
    ['[1e30,-0,0e999,9007199254740991,12345678.90123456,1E-5,0.0000033333333333333333]',
      [1e30, -0, 0, 9007199254740991, 12345678.90123456, 1e-5, 0.0000033333333333333333]],
    ['"\\ud83d\\ude00\\\\\\u005cud800"', '😀\\\\ud800'],
    [' [ ] ', []],
    ['['.repeat(MAX_DEPTH) + ']'.repeat(MAX_DEPTH), undefined],
  ])('reads %s', (text, value) => {
    const read = parseIJson(text);
    expect(read).toBeDefined();
    if (value !== undefined) expect(read).toEqual(value);
  });
});
