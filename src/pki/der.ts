/*
 * DER as X.690 §10 and §11 want it, for what this room writes itself: definite lengths, the shortest form, nothing optional.
 * A value is a Buffer that holds one whole element.
 */

const CONSTRUCTED = 0x20;
const CONTEXT = 0x80;
const MAX_UTC_YEAR = 2049;

/** One element of the tag around the parts. */
export function tlv(tag: number, ...parts: readonly Buffer[]): Buffer {
  let length = 0;
  for (const part of parts) length += part.length;
  return Buffer.concat([header(tag, length), ...parts]);
}

/** Tag and length alone, where the contents are too large to be copied around. */
export function header(tag: number, length: number): Buffer {
  if (length < 0x80) return Buffer.from([tag, length]);
  if (length < 0x100) return Buffer.from([tag, 0x81, length]);
  if (length < 0x10000) return Buffer.from([tag, 0x82, length >> 8, length & 0xff]);
  if (length < 0x1000000) return Buffer.from([tag, 0x83, length >> 16, (length >> 8) & 0xff, length & 0xff]);
  const bytes = Buffer.alloc(6, tag);
  bytes[1] = 0x84;
  bytes.writeUInt32BE(length, 2);
  return bytes;
}

export function sequence(...parts: readonly Buffer[]): Buffer {
  return tlv(0x30, ...parts);
}

/** SET of one element: more would have to be sorted. */
export function setOf(element: Buffer): Buffer {
  return tlv(0x31, element);
}

/** Non-negative integer from its big-endian bytes. */
export function unsigned(bytes: Buffer): Buffer {
  let from = 0;
  while (from < bytes.length - 1 && bytes[from] === 0) from += 1;
  const shortest = bytes.subarray(from);
  const padded = shortest.length === 0 || (shortest[0] ?? 0) & 0x80 ? Buffer.concat([Buffer.alloc(1), shortest]) : shortest;
  return tlv(0x02, padded);
}

export function integer(value: number | bigint): Buffer {
  const hex = value.toString(16);
  return unsigned(Buffer.from(hex.length % 2 === 1 ? `0${hex}` : hex, 'hex'));
}

export function boolean(value: boolean): Buffer {
  return Buffer.from([0x01, 0x01, value ? 0xff : 0x00]);
}

export function enumerated(value: number): Buffer {
  return Buffer.from([0x0a, 0x01, value]);
}

export const NULL = Buffer.from([0x05, 0x00]);

export function octets(bytes: Buffer): Buffer {
  return tlv(0x04, bytes);
}

/** BIT STRING of whole bytes. */
export function bits(bytes: Buffer): Buffer {
  return tlv(0x03, Buffer.alloc(1), bytes);
}

/** BIT STRING of named bits (X.690 §11.2.2: without trailing zeros). */
export function namedBits(set: readonly number[]): Buffer {
  const last = Math.max(-1, ...set);
  if (last < 0) return Buffer.from([0x03, 0x01, 0x00]);
  const bytes = Buffer.alloc((last >> 3) + 1);
  for (const bit of set) bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
  return tlv(0x03, Buffer.from([7 - (last & 7)]), bytes);
}

const known = new Map<string, Buffer>();

export function oid(dotted: string): Buffer {
  let encoded = known.get(dotted);
  if (encoded === undefined) {
    const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
    encoded = tlv(0x06, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]));
    known.set(dotted, encoded);
  }
  return encoded;
}

function base128(arc: number): number[] {
  const digits = [arc & 0x7f];
  for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) digits.unshift((left & 0x7f) | 0x80);
  return digits;
}

export function utf8(text: string): Buffer {
  return tlv(0x0c, Buffer.from(text, 'utf8'));
}

export function bmp(text: string): Buffer {
  return tlv(0x1e, Buffer.from(text, 'utf16le').swap16());
}

/** EXPLICIT context tag. */
export function explicit(number: number, element: Buffer): Buffer {
  return tlv(CONTEXT | CONSTRUCTED | number, element);
}

/** IMPLICIT context tag on a primitive. */
export function implicit(number: number, contents: Buffer): Buffer {
  return tlv(CONTEXT | number, contents);
}

/** IMPLICIT context tag on a constructed element's parts. */
export function implicitOf(number: number, ...parts: readonly Buffer[]): Buffer {
  return tlv(CONTEXT | CONSTRUCTED | number, ...parts);
}

/** UTCTime up to 2049, GeneralizedTime beyond (RFC 5280 §4.1.2.5); whole seconds. */
export function time(date: Date): Buffer {
  return date.getUTCFullYear() > MAX_UTC_YEAR ? generalizedTime(date) : tlv(0x17, Buffer.from(digitsOf(date).slice(2), 'latin1'));
}

/** Whole seconds: fractions are refused by RFC 5280 §4.1.2.5.2. */
export function generalizedTime(date: Date): Buffer {
  return tlv(0x18, Buffer.from(digitsOf(date), 'latin1'));
}

function digitsOf(date: Date): string {
  return `${date.toISOString().slice(0, 19).replace(/[-:T]/g, '')}Z`;
}

/** PEM (RFC 7468): 64 characters a line. */
export function toPem(label: string, der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}
