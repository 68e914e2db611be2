import { HoconScanner, HoconStop } from './hocon-scanner.js';

/** What a configuration consists of. Durations and sizes stay text (`5s`, `16KB`). Objects have no prototype. */
export type HoconValue = string | number | boolean | null | HoconValue[] | HoconObject;
export interface HoconObject {
  [key: string]: HoconValue;
}

/** Something that could not be understood, and therefore must not be judged. */
export interface HoconProblem {
  /** 1 for the first line. */
  readonly line: number;
  readonly what: string;
}

export interface HoconReading {
  readonly value: HoconObject;
  readonly problems: readonly HoconProblem[];
}

const MAX_LENGTH = 4 * 1024 * 1024;
const MAX_DEPTH = 64;
const INDEX = /^[1-9]\d{0,3}$/;

/**
 * Reads HOCON as EMQX writes and documents it. Total: whatever cannot be understood is a problem in the answer, with what was read
 * until then. `include` and substitutions are problems, since what they stand for is not in the text.
 */
export function readHocon(text: string): HoconReading {
  const value = emptyObject();
  if (text.length > MAX_LENGTH) return { value, problems: [{ line: 1, what: `longer than ${MAX_LENGTH} characters` }] };
  const reader = new HoconReader(new HoconScanner(text));
  return { value, problems: reader.readInto(value) };
}

export function emptyObject(): HoconObject {
  return Object.create(null) as HoconObject;
}

export function isObject(value: HoconValue | undefined): value is HoconObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

class HoconReader {
  private readonly problems: HoconProblem[] = [];
  private depth = 0;

  constructor(private readonly scanner: HoconScanner) {}

  readInto(root: HoconObject): readonly HoconProblem[] {
    try {
      this.scanner.skipSeparators();
      const braced = this.scanner.take('{');
      this.members(root, braced);
      this.scanner.skipSeparators();
      if (!this.scanner.ended) throw this.scanner.stop('unexpected text after the end');
    } catch (error) {
      if (!(error instanceof HoconStop)) throw error;
      this.problems.push({ line: error.line, what: error.what });
    }
    return this.problems;
  }

  private members(into: HoconObject, closed: boolean): void {
    this.depth += 1;
    if (this.depth > MAX_DEPTH) throw this.scanner.stop(`nested deeper than ${MAX_DEPTH}`);
    for (;;) {
      this.scanner.skipSeparators();
      if (closed && this.scanner.take('}')) break;
      if (this.scanner.ended) {
        if (closed) throw this.scanner.stop('an object is not closed');
        break;
      }
      this.member(into);
    }
    this.depth -= 1;
  }

  private member(into: HoconObject): void {
    const { line } = this.scanner;
    if (this.scanner.takeInclude()) {
      this.problems.push({ line, what: 'include: the other file was not read' });
      return;
    }
    const path = this.scanner.keyPath();
    this.scanner.skipBlank();
    const sign = this.scanner.takeSign();
    if (sign === null && !this.scanner.at('{')) throw this.scanner.stop(`"${path.join('.')}" has no value`);
    this.scanner.skipBlank();
    put(into, path, this.value(), sign === '+=', (what) => this.problems.push({ line, what }));
  }

  /** One value, or several side by side, which HOCON joins: objects merge, arrays append, words become one text. */
  private value(): HoconValue {
    const result = this.single();
    while (this.scanner.continues()) {
      const next = this.single();
      if (isObject(result) && isObject(next)) merge(result, next, (what) => this.problems.push({ line: this.scanner.line, what }));
      else if (Array.isArray(result) && Array.isArray(next)) result.push(...next);
      else throw this.scanner.stop('values that cannot be joined stand side by side');
    }
    return result;
  }

  private single(): HoconValue {
    if (this.scanner.take('{')) {
      const object = emptyObject();
      this.members(object, true);
      return object;
    }
    if (this.scanner.take('[')) return this.elements();
    const { line } = this.scanner;
    const { text, quoted, substitution } = this.scanner.words();
    if (substitution) this.problems.push({ line, what: `the substitution ${substitution} was not resolved` });
    return quoted ? text : plain(text);
  }

  private elements(): HoconValue[] {
    this.depth += 1;
    if (this.depth > MAX_DEPTH) throw this.scanner.stop(`nested deeper than ${MAX_DEPTH}`);
    const list: HoconValue[] = [];
    for (;;) {
      this.scanner.skipSeparators();
      if (this.scanner.take(']')) break;
      if (this.scanner.ended) throw this.scanner.stop('an array is not closed');
      list.push(this.value());
    }
    this.depth -= 1;
    return list;
  }
}

function plain(text: string): HoconValue {
  if (text === 'true') return true;
  if (text === 'false') return false;
  if (text === 'null') return null;
  return /^-?(?:0|[1-9]\d{0,14})(?:\.\d{1,9})?$/.test(text) ? Number(text) : text;
}

type Complain = (what: string) => void;

/** Sets `a.b.c` in an object. Of two values of one key the later counts; two objects become one. */
function put(into: HoconObject, path: readonly string[], value: HoconValue, append: boolean, complain: Complain): void {
  const [key = '', ...rest] = path;
  const before = into[key];
  if (append && rest.length > 0) {
    const inner = isObject(before) ? before : emptyObject();
    if (before !== undefined && !isObject(before)) return complain(`+= on "${path.join('.')}" was not understood`);
    into[key] = inner;
    return put(inner, rest, value, append, complain);
  }
  if (append && before !== undefined && !Array.isArray(before)) return complain(`+= on "${key}", which is no list`);
  if (append) {
    into[key] = [...(Array.isArray(before) ? before : []), value];
    return;
  }
  const nested = rest.reduceRight<HoconValue>((inner, name) => {
    const object = emptyObject();
    object[name] = inner;
    return object;
  }, value);
  into[key] = combined(before, nested, key, complain);
}

function combined(before: HoconValue | undefined, value: HoconValue, key: string, complain: Complain): HoconValue {
  if (!isObject(value)) return value;
  if (isObject(before)) return merge(before, value, complain);
  // EMQX changes single elements by their place, `authentication.1.enable = false`, counted from one.
  if (!Array.isArray(before) || !Object.keys(value).some((place) => INDEX.test(place))) return value;
  for (const [place, element] of Object.entries(value)) {
    const index = Number(place) - 1;
    const old = before[index];
    if (!INDEX.test(place) || old === undefined) complain(`"${key}.${place}" names no element that stands before it`);
    else before[index] = combined(old, element, place, complain);
  }
  return before;
}

function merge(into: HoconObject, from: HoconObject, complain: Complain): HoconObject {
  for (const [key, value] of Object.entries(from)) into[key] = combined(into[key], value, key, complain);
  return into;
}
