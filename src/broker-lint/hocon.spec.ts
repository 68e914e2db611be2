import { readFileSync } from 'node:fs';
import { readHocon } from './hocon.js';

/** As plain JSON, so that prototypes do not matter. */
const read = (text: string): unknown => {
  const { value, problems } = readHocon(text);
  expect(problems).toEqual([]);
  return JSON.parse(JSON.stringify(value));
};
const problemsOf = (text: string): string[] => readHocon(text).problems.map(({ line, what }) => `${line}: ${what}`);

describe('the reader of HOCON', () => {
  it.each<[string, string, unknown]>([
    ['signs and none', 'a = 1\nb : two\nc { d = true }', { a: 1, b: 'two', c: { d: true } }],
    ['paths that build objects', 'a.b.c = 1\na.b.d = 2', { a: { b: { c: 1, d: 2 } } }],
    ['quoted keys with dots and dashes', 'headers { "content-type" = x, "a.b" = y }', { headers: { 'content-type': 'x', 'a.b': 'y' } }],
    ['that the later value counts and objects merge', 'a { x = 1, y = 1 }\na { y = 2 }\na.z = 3', { a: { x: 1, y: 2, z: 3 } }],
    ['comments of both kinds', '# one\na = 1 # two\n// three\nb = 2 // four', { a: 1, b: 2 }],
    ['arrays over lines, with and without commas', 'a = [ 1\n 2, 3,\n { b = 4 } ]', { a: [1, 2, 3, { b: 4 }] }],
    ['durations and sizes as text', 'a = 5s, b = 16KB, c = 1m30s, d = "10s"', { a: '5s', b: '16KB', c: '1m30s', d: '10s' }],
    ['addresses without quotes', 'a = 0.0.0.0:1883\nb = http://x:1/y', { a: '0.0.0.0:1883', b: 'http://x:1/y' }],
    ['escapes', String.raw`a = "q\"\\\n\u0041"`, { a: 'q"\\\nA' }],
    ['text in three quotes', 'a = """x "y"\nz"""\nb = 1', { a: 'x "y"\nz', b: 1 }],
    ['long texts as EMQX prints them', 'a = """~\n  one\n    two\n  ~"""', { a: 'one\n  two' }],
    ['placeholders in quotes as text', 'a = "${clientid}"', { a: '${clientid}' }],
    ['a root in braces', '{ a = 1 }', { a: 1 }],
    ['appending', 'a = [1]\na += 2', { a: [1, 2] }],
    ['one element changed by its place', 'a = [ { x = 1 }, { x = 2 } ]\na.2.x = 3', { a: [{ x: 1 }, { x: 3 }] }],
    ['objects and lists side by side', 'a = { x = 1 } { y = 2 }\nb = [1] [2]', { a: { x: 1, y: 2 }, b: [1, 2] }],
    ['numbers in quotes as text', 'a = "1", b = 1, c = null', { a: '1', b: 1, c: null }],
    ['line ends of Windows', 'a = 1\r\nb { c = d }\r\n', { a: 1, b: { c: 'd' } }],
    ['JSON', '{"a": {"b": [1, "x", false]}}', { a: { b: [1, 'x', false] } }],
  ])('understands %s', (_, text, value) => {
    expect(read(text)).toEqual(value);
  });

  it.each<[string, string, string]>([
    ['an include', 'a = 1\ninclude "other.conf"\nb = 2', '2: include: the other file was not read'],
    ['a substitution', 'a = 1\nb = ${a}', '2: the substitution ${a} was not resolved'],
    ['an object that is not closed', 'a { b = 1', '1: an object is not closed'],
    ['a text that is not closed', 'a = 1\nb = "x', '2: a quoted text is not closed'],
    ['a key without value', 'a\nb = 1', '2: "a" has no value'],
    ['an override of what is not there', 'a = [1]\na.3.x = 1', '2: "a.3" names no element that stands before it'],
    ['nesting without end', 'a '.concat('{ a '.repeat(100)), '1: nested deeper than 64'],
  ])('says that it cannot judge %s', (_, text, problem) => {
    expect(problemsOf(text)).toContain(problem);
  });

  it('goes on behind an include and keeps what it read before an error', () => {
    expect(readHocon('include "x"\na = 1').value['a']).toBe(1);
    expect(readHocon('a = 1\n}').value['a']).toBe(1);
  });

  it('takes no key for a prototype', () => {
    const { value } = readHocon('__proto__ { polluted = true }\na.__proto__.b = 1\nconstructor = 1');
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
    expect(Object.hasOwn(value, '__proto__')).toBe(true);
  });

  it('refuses to read what is far too long', () => {
    expect(readHocon(' '.repeat(5_000_000)).problems).toHaveLength(1);
  });

  it('never throws and always ends, whatever 10 000 mutations make of a file', () => {
    const text = readFileSync('docker/emqx/emqx.conf', 'utf8');
    const pieces = ['{', '}', '[', ']', '"', '"""', '\\', '\\u12', '#', '//', '=', '+=', ',', '\n', '${', '.', '\0', '\ud800', 'include "a"', '~', '__proto__'];
    let state = 7;
    const random = (below: number): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    for (let round = 0; round < 10_000; round += 1) {
      const start = random(text.length);
      let mutated = text.slice(start, start + 1 + random(600));
      for (let change = random(6); change >= 0; change -= 1) {
        const at = random(mutated.length + 1);
        mutated = mutated.slice(0, at) + (pieces[random(pieces.length)] ?? '') + mutated.slice(at + random(4));
      }
      expect(Array.isArray(readHocon(mutated).problems)).toBe(true);
    }
  });
});
