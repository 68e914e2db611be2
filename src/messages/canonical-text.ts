import { isExactNumber, MAX_DEPTH } from './canonical-json.js';
import {
  BACKSLASH, COLON, COMMA, FIRST_SURROGATE, isDigit, isNumberPart, LAST_SURROGATE, LIST, LIST_END, MINUS, OBJECT, OBJECT_END, POINT, QUOTE,
  SPACE, ZERO,
} from './json-codes.js';

/** A member of the outermost object, as it stands in the text. */
export interface TextMember {
  readonly name: string;
  /** `"name":value` in canonical form. */
  readonly text: string;
}

export interface CanonicalText {
  /** In canonical order. */
  readonly members: readonly TextMember[];
  /** They stood in that order: the text is the canonical form. */
  readonly sorted: boolean;
}

/** A decimal of at most so many digits is the shortest that its double has (IEEE 754 binary64). */
const OWN_DIGITS = 15;
/** With one zero more behind the point ECMAScript writes an exponent. */
const PLAIN_ZEROS = 5;
/** Where a text turned out not to be canonical. */
const NOT = -1;

/**
 * Reads an object whose text is canonical (RFC 8785) already, but for the order of its outermost members: most devices print fixed
 * texts. One pass, in which nothing is parsed or written anew. Null says nothing against the text: it is not canonical, no I-JSON, or
 * takes a closer look to tell (escapes, characters beyond the basic plane).
 */
export function readCanonicalText(text: string): CanonicalText | null {
  if (text.charCodeAt(0) !== OBJECT) return null;
  const members: TextMember[] = [];
  let sorted = true;
  for (let i = 1; ;) {
    const nameEnd = text.charCodeAt(i) === QUOTE ? endOfString(text, i) : NOT;
    if (nameEnd === NOT || text.charCodeAt(nameEnd) !== COLON) return null;
    const end = endOfValue(text, nameEnd + 1, 1);
    if (end === NOT) return null;
    const name = text.slice(i + 1, nameEnd - 1);
    const before = members[members.length - 1];
    if (before !== undefined && !(before.name < name)) sorted = false;
    members.push({ name, text: text.slice(i, end) });
    i = end + 1;
    const code = text.charCodeAt(end);
    if (code === OBJECT_END && i === text.length) break;
    if (code !== COMMA) return null;
  }
  if (sorted) return { members, sorted };
  members.sort(byName);
  // Twice the same name is for the closer look to refuse.
  return members.every(({ name }, index) => index === 0 || name !== members[index - 1]?.name) ? { members, sorted } : null;
}

function byName(a: TextMember, b: TextMember): number {
  return a.name < b.name ? -1 : 1;
}

/** The index behind a value that is canonical. */
function endOfValue(text: string, at: number, depth: number): number {
  const code = text.charCodeAt(at);
  if (code === QUOTE) return endOfString(text, at);
  if (code === OBJECT) return depth < MAX_DEPTH ? endOfObject(text, at, depth + 1) : NOT;
  if (code === LIST) return depth < MAX_DEPTH ? endOfList(text, at, depth + 1) : NOT;
  if (code === MINUS || isDigit(code)) return endOfNumber(text, at);
  if (text.startsWith('true', at) || text.startsWith('null', at)) return at + 4;
  return text.startsWith('false', at) ? at + 5 : NOT;
}

function endOfObject(text: string, at: number, depth: number): number {
  let i = at + 1;
  if (text.charCodeAt(i) === OBJECT_END) return i + 1;
  for (let before = NOT, beforeEnd = NOT; ;) {
    const nameEnd = text.charCodeAt(i) === QUOTE ? endOfString(text, i) : NOT;
    if (nameEnd === NOT || text.charCodeAt(nameEnd) !== COLON) return NOT;
    if (before !== NOT && !isBefore(text, before, beforeEnd, i, nameEnd)) return NOT;
    before = i;
    beforeEnd = nameEnd;
    const end = endOfValue(text, nameEnd + 1, depth);
    if (end === NOT) return NOT;
    i = end + 1;
    const code = text.charCodeAt(end);
    if (code === OBJECT_END) return i;
    if (code !== COMMA) return NOT;
  }
}

function endOfList(text: string, at: number, depth: number): number {
  let i = at + 1;
  if (text.charCodeAt(i) === LIST_END) return i + 1;
  for (;;) {
    const end = endOfValue(text, i, depth);
    if (end === NOT) return NOT;
    i = end + 1;
    const code = text.charCodeAt(end);
    if (code === LIST_END) return i;
    if (code !== COMMA) return NOT;
  }
}

/** A string without escapes, and without any character that has to be escaped. */
function endOfString(text: string, at: number): number {
  for (let i = at + 1; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) return i + 1;
    if (code < SPACE || code === BACKSLASH || (code >= FIRST_SURROGATE && code <= LAST_SURROGATE)) return NOT;
  }
  return NOT;
}

/** Whether the name that begins at `a` comes before that at `b`, by UTF-16 code units. Both end behind their quote. */
function isBefore(text: string, a: number, aEnd: number, b: number, bEnd: number): boolean {
  const shorter = Math.min(aEnd - a, bEnd - b) - 1;
  for (let i = 1; i < shorter; i += 1) {
    const difference = text.charCodeAt(a + i) - text.charCodeAt(b + i);
    if (difference !== 0) return difference < 0;
  }
  return aEnd - a < bEnd - b;
}

/** A number as ECMAScript writes it. */
function endOfNumber(text: string, at: number): number {
  let i = text.charCodeAt(at) === MINUS ? at + 1 : at;
  const whole = i;
  while (isDigit(text.charCodeAt(i))) i += 1;
  const point = i;
  let zeros = 0;
  if (text.charCodeAt(i) === POINT) {
    i += 1;
    while (text.charCodeAt(i) === ZERO) i += 1;
    zeros = i - point - 1;
    while (isDigit(text.charCodeAt(i))) i += 1;
  }
  return isPlain(text, at, whole, point, i, zeros) ? i : endOfOtherNumber(text, at);
}

/** Few digits, no needless zeros, no exponent: such a number is written as it stands. */
function isPlain(text: string, at: number, whole: number, point: number, end: number, zeros: number): boolean {
  if (point === whole || end - whole > OWN_DIGITS || isNumberPart(text.charCodeAt(end))) return false;
  const zero = text.charCodeAt(whole) === ZERO;
  if (zero && point - whole > 1) return false;
  // A zero has no sign.
  if (end === point) return !zero || whole === at;
  return text.charCodeAt(end - 1) !== ZERO && end - point > 1 && (!zero || zeros <= PLAIN_ZEROS);
}

function endOfOtherNumber(text: string, at: number): number {
  let end = at;
  while (isNumberPart(text.charCodeAt(end))) end += 1;
  const token = text.slice(at, end);
  return String(Number(token)) === token && isExactNumber(token) ? end : NOT;
}
