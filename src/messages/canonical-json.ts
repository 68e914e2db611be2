/** What JSON can say. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [name: string]: JsonValue };
export type JsonObject = { readonly [name: string]: JsonValue };

/** Deeper nesting is refused: no device needs it, and recursion stays bounded whatever is sent. */
export const MAX_DEPTH = 64;
/** Decimal digits beyond which a double cannot tell two numbers apart (IEEE 754 binary64). */
const MAX_DIGITS = 17;
/** From here on ECMAScript writes whole numbers with an exponent, so that they cannot be taken for exact ones. */
const EXPONENT_FROM = 1e21;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const MINUS = 0x2d;
const OPENING = new Set([0x7b, 0x5b]);
const CLOSING = new Set([0x7d, 0x5d]);
const NUMBER = /-?[0-9][0-9.eE+-]*/y;

/** Canonical form (RFC 8785) of a value that JSON can say; strings must be well formed. Counts the members that it writes. */
export class CanonicalWriter {
  /** Members written so far. */
  members = 0;

  write(value: JsonValue): string {
    if (typeof value !== 'object' || value === null) return JSON.stringify(value);
    if (Array.isArray(value)) return `[${(value as readonly JsonValue[]).map((item) => this.write(item)).join(',')}]`;
    const object = value as JsonObject;
    return `{${sortedNames(object).map((name) => this.member(object, name)).join(',')}}`;
  }

  /** One member of an object, `"name":value`. */
  member(object: JsonObject, name: string): string {
    this.members += 1;
    return `${JSON.stringify(name)}:${this.write(object[name] as JsonValue)}`;
  }
}

/** RFC 8785. Names go by UTF-16 code units; strings and numbers as ECMAScript writes them. */
export function canonicalize(value: JsonValue): string {
  return new CanonicalWriter().write(value);
}

/** Names in the order of RFC 8785 §3.2.3, which is JavaScript's own. */
export function sortedNames(object: JsonObject): string[] {
  return Object.keys(object).sort();
}

export interface StrictJson {
  readonly value: JsonValue;
  /** Members that stand in the text. Fewer in the value mean that a name was there twice. */
  readonly members: number;
}

/**
 * JSON by RFC 8259 within I-JSON (RFC 7493), but for repeated names, which the caller finds by counting members. Null: not JSON,
 * too deep, a number that a double does not hold (beyond its range or precision, or a whole number beyond ±(2^53 − 1)), or half of
 * a surrogate pair.
 */
export function parseStrict(text: string): StrictJson | null {
  let value: JsonValue;
  try {
    value = JSON.parse(text) as JsonValue;
  } catch {
    return null;
  }
  const members = inspect(text);
  if (members === null || (text.includes('\\u') && !isWellFormed(value))) return null;
  return { value, members };
}

/** As `parseStrict`, and no object holds a name twice. */
export function parseIJson(text: string): JsonValue | undefined {
  const parsed = parseStrict(text);
  if (parsed === null) return undefined;
  const writer = new CanonicalWriter();
  writer.write(parsed.value);
  return writer.members === parsed.members ? parsed.value : undefined;
}

/** Walks over text that is known to be JSON; answers how many members stand in it, null where a number or the depth is out of bounds. */
function inspect(text: string): number | null {
  let members = 0;
  let depth = 0;
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) i = endOfString(text, i);
    else if (code === COLON) members += 1;
    else if (OPENING.has(code)) {
      depth += 1;
      if (depth > MAX_DEPTH) return null;
    } else if (CLOSING.has(code)) depth -= 1;
    else if (code === MINUS || (code >= 0x30 && code <= 0x39)) {
      NUMBER.lastIndex = i;
      const token = NUMBER.exec(text)?.[0] ?? '';
      if (!isExact(token)) return null;
      i += token.length - 1;
    }
  }
  return members;
}

/** Index of the quote that ends the string which begins at `start`. */
function endOfString(text: string, start: number): number {
  let i = start + 1;
  for (let code = text.charCodeAt(i); code !== QUOTE; code = text.charCodeAt(i)) i += code === BACKSLASH ? 2 : 1;
  return i;
}

function isExact(token: string): boolean {
  if (token.length <= 15) return !/[eE]/.test(token) || isHeld(token);
  if (/^-?[0-9]+$/.test(token) && !Number.isSafeInteger(Number(token))) return false;
  const digits = token.replace(/[eE].*$/, '').replace(/[-.]/g, '').replace(/^0+|0+$/g, '');
  return digits.length <= MAX_DIGITS && isHeld(token);
}

/** Neither beyond the largest double, nor so small that nothing of it is left, nor written back as a whole number that is not exact. */
function isHeld(token: string): boolean {
  const number = Number(token);
  if (Number.isInteger(number) && Math.abs(number) > Number.MAX_SAFE_INTEGER && Math.abs(number) < EXPONENT_FROM) return false;
  return Number.isFinite(number) && (number !== 0 || !/[1-9]/.test(token.replace(/[eE].*$/, '')));
}

function isWellFormed(value: JsonValue): boolean {
  if (typeof value === 'string') return !hasLoneSurrogate(value);
  if (typeof value !== 'object' || value === null) return true;
  if (Array.isArray(value)) return (value as readonly JsonValue[]).every(isWellFormed);
  return Object.entries(value as JsonObject).every(([name, member]) => !hasLoneSurrogate(name) && isWellFormed(member));
}

/** Half of a surrogate pair is no Unicode character; UTF-8 cannot write it. */
export function hasLoneSurrogate(text: string): boolean {
  return /\p{Surrogate}/u.test(text);
}
