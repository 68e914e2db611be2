/** Text of one value; longer ones are cut. UTF-16 units. */
export const MAX_TEXT = 512;
/** All details of one row, as UTF-8 bytes of JSON. */
export const MAX_DETAILS_BYTES = 8192;
const MAX_DEPTH = 5;
const MAX_MEMBERS = 50;
/** Closing brackets, the note that something was cut, and separators. */
const RESERVE_BYTES = 128;

/** Nearly every text that comes by: nothing in it can need replacing. */
const PLAIN = /^[ -~]*$/;
/** Controls (NUL breaks a JSONB insert, ESC a terminal) and halves of surrogate pairs (not encodable as UTF-8). */
const UNCLEAN = new RegExp(
  /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/.source
  + /|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.source,
  'g',
);

/** Members that could only hold a secret. Callers do not pass them; a mistake must not be for ever. */
const SECRET_NAME = new RegExp(
  '^(?:.*password|.*secret|(?:access|refresh|csrf|device|id)?[_-]?token|private[_-]?key|admin[_-]?key|api[_-]?key|pkcs12'
  + '|authorization|x-admin-key|x-internal-auth|(?:set-)?cookie)$',
  'i',
);
/** Our own secrets, and JSON web tokens (RFC 7519), wherever they stand in a text. */
const SECRET_TEXT = /\b(?:pcs|pcx|pcc|pcr|pat)_[A-Za-z0-9_-]{16,}|\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?/g;
/** Shorter texts cannot hold one. */
const SHORTEST_SECRET = 18;
const REDACTED = '[redacted]';

interface MemberName {
  /** `"name":` */
  readonly label: string;
  readonly secret: boolean;
}

/** Names that came by: there are few, and looking at one costs more than the rest of a member. */
const knownNames = new Map<string, MemberName>();
const KNOWN_NAMES = 1_000;
const MAX_NAME = 64;

function memberName(name: string): MemberName {
  const known = knownNames.get(name);
  if (known) return known;
  const found = { label: `${JSON.stringify(cleanText(name, MAX_NAME))}:`, secret: SECRET_NAME.test(name) };
  if (knownNames.size < KNOWN_NAMES && name.length <= MAX_NAME) knownNames.set(name, found);
  return found;
}

/** Cuts a text and replaces what no row may hold by U+FFFD. Total: never throws. */
export function cleanText(text: string, max = MAX_TEXT): string {
  const cut = text.length > max ? `${text.slice(0, max - 1)}…` : text;
  const clean = PLAIN.test(cut) ? cut : cut.replace(UNCLEAN, '\ufffd');
  return clean.length >= SHORTEST_SECRET && /[_.]/.test(clean) ? clean.replace(SECRET_TEXT, REDACTED) : clean;
}

/**
 * Any values as the JSON text of one object that JSONB takes: clean and cut, bounded in depth, members and bytes, secrets
 * left out. Cyclic, unreadable and exotic values become a word about themselves. Total: never throws.
 * What had to be left out for want of room is told by `"truncated": true`.
 */
export function boundedJson(...sources: readonly (Readonly<Record<string, unknown>> | undefined)[]): string {
  const given = sources.filter((source) => source !== undefined);
  if (given.length === 0) return '{}';
  const writer = new Writer();
  // A name belongs to the first source that has it.
  const seen = given.length > 1 ? new Set<string>() : undefined;
  let text = '';
  for (const source of given) {
    const members = writer.members(source, 1, seen);
    text += text === '' || members === '' ? members : `,${members}`;
  }
  if (writer.truncated) text += text === '' ? '"truncated":true' : ',"truncated":true';
  return `{${text}}`;
}

class Writer {
  truncated = false;
  private left = MAX_DETAILS_BYTES - RESERVE_BYTES;
  /** The objects around the current value. */
  private readonly open: object[] = [];

  /** `"name":value,…` of an object, without its braces. */
  members(source: object, depth: number, seen?: Set<string>): string {
    let written = '';
    let count = 0;
    this.open.push(source);
    try {
      for (const name of Object.keys(source)) {
        if (seen?.has(name)) continue;
        seen?.add(name);
        if (count >= MAX_MEMBERS || this.left <= 0) {
          this.truncated = true;
          break;
        }
        const { label, secret } = memberName(name);
        if (!this.spend(label)) break;
        const value = secret ? this.text(REDACTED) : this.value((source as Record<string, unknown>)[name], depth);
        if (value === undefined) continue;
        written += count === 0 ? label + value : `,${label}${value}`;
        count += 1;
      }
    } catch {
      // A getter or a proxy threw.
      written += count === 0 ? '"unreadable":true' : ',"unreadable":true';
    }
    this.open.pop();
    return written;
  }

  private value(value: unknown, depth: number): string | undefined {
    switch (typeof value) {
      case 'string':
        return this.text(value);
      case 'number':
        return Number.isFinite(value) ? this.raw(String(value)) : this.text(String(value));
      case 'boolean':
        return this.raw(String(value));
      case 'bigint':
        return this.text(value.toString());
      case 'object':
        return value === null ? this.raw('null') : this.object(value, depth);
      default:
        return undefined;
    }
  }

  private object(value: object, depth: number): string | undefined {
    if (this.open.includes(value)) return this.text('[circular]');
    if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return this.text(`[${value.byteLength} bytes]`);
    if (value instanceof Date) return this.text(Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString());
    if (value instanceof Error) return this.text(`${value.name}: ${value.message}`);
    if (depth >= MAX_DEPTH) {
      this.truncated = true;
      return this.text('[deeper]');
    }
    if (Array.isArray(value)) return `[${this.items(value, depth + 1).join(',')}]`;
    if (value instanceof Set) return `[${this.items([...value].slice(0, MAX_MEMBERS + 1), depth + 1).join(',')}]`;
    return `{${this.members(value, depth + 1)}}`;
  }

  private items(values: readonly unknown[], depth: number): string[] {
    const written: string[] = [];
    this.open.push(values);
    for (const value of values) {
      if (written.length >= MAX_MEMBERS || this.left <= 0) {
        this.truncated = true;
        break;
      }
      written.push(this.value(value, depth) ?? 'null');
    }
    this.open.pop();
    return written;
  }

  private text(text: string): string | undefined {
    return this.raw(JSON.stringify(cleanText(text)));
  }

  /** The token itself if there is room for it. */
  private raw(token: string): string | undefined {
    return this.spend(token) ? token : undefined;
  }

  private spend(token: string): boolean {
    // Four bytes stand for the separator and the brackets around.
    this.left -= Buffer.byteLength(token) + 4;
    if (this.left >= 0) return true;
    this.truncated = true;
    return false;
  }
}
