import { BACKSLASH, COLON, isDigit, isNumberPart, LIST, LIST_END, MINUS, OBJECT, OBJECT_END, QUOTE } from './json-codes.js';

/** What JSON can say. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [name: string]: JsonValue };
export type JsonObject = { readonly [name: string]: JsonValue };

/** Deeper nesting is refused: no device needs it, and recursion stays bounded whatever is sent. */
export const MAX_DEPTH = 64;
/** Decimal digits beyond which a double cannot tell two numbers apart (IEEE 754 binary64). */
const MAX_DIGITS = 17;
/** From here on ECMAScript writes whole numbers with an exponent, so that they cannot be taken for exact ones. */
const EXPONENT_FROM = 1e21;

/** Canonical form (RFC 8785) of a value that JSON can say; strings must be well formed. Counts the members that it writes. */
export class CanonicalWriter {
  /** Members written so far. */
  members = 0;

  write(value: JsonValue): string {
    if (typeof value === 'string') return writeString(value);
    // As ECMAScript writes it, which is what RFC 8785 §3.2.2.3 asks for; −0 is 0.
    if (typeof value === 'number') return String(value);
    if (typeof value !== 'object' || value === null) return value === null ? 'null' : String(value);
    if (Array.isArray(value)) return this.list(value as readonly JsonValue[]);
    const object = value as JsonObject;
    let text = '{';
    for (const name of sortedNames(object)) text += text.length === 1 ? this.member(object, name) : `,${this.member(object, name)}`;
    return `${text}}`;
  }

  /** One member of an object, `"name":value`. */
  member(object: JsonObject, name: string): string {
    this.members += 1;
    return `${writeString(name)}:${this.write(object[name] as JsonValue)}`;
  }

  private list(items: readonly JsonValue[]): string {
    let text = '[';
    for (const item of items) text += text.length === 1 ? this.write(item) : `,${this.write(item)}`;
    return `${text}]`;
  }
}

/** What RFC 8785 §3.2.2.2 escapes; everything else stands for itself. */
const ESCAPED = /["\\\u0000-\u001f\ud800-\udfff]/;

function writeString(text: string): string {
  return ESCAPED.test(text) ? JSON.stringify(text) : `"${text}"`;
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
  const value = parseJson(text);
  if (value === undefined) return null;
  const members = inspect(text);
  if (members === null || (text.includes('\\u') && !isWellFormed(value))) return null;
  return { value, members };
}

/** `JSON.parse` without a throw; undefined: no JSON. */
export function parseJson(text: string): JsonValue | undefined {
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    return undefined;
  }
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
    else if (code === OBJECT || code === LIST) {
      depth += 1;
      if (depth > MAX_DEPTH) return null;
    } else if (code === OBJECT_END || code === LIST_END) depth -= 1;
    else if (code === MINUS || isDigit(code)) {
      const end = endOfNumber(text, i);
      if (!isExactNumber(text.slice(i, end))) return null;
      i = end - 1;
    }
  }
  return members;
}

/** The index behind the number that begins at `start`. */
function endOfNumber(text: string, start: number): number {
  let i = start + 1;
  while (i < text.length && isNumberPart(text.charCodeAt(i))) i += 1;
  return i;
}

/** Index of the quote that ends the string which begins at `start`. */
function endOfString(text: string, start: number): number {
  let i = start + 1;
  for (let code = text.charCodeAt(i); code !== QUOTE; code = text.charCodeAt(i)) i += code === BACKSLASH ? 2 : 1;
  return i;
}

/** Whether a double holds the number as written (RFC 7493 §2.2). @param token a number of JSON */
export function isExactNumber(token: string): boolean {
  if (token.length <= 15) return (!token.includes('e') && !token.includes('E')) || isHeld(token);
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
