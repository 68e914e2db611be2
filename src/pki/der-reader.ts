/** One element of a DER encoding, its contents not yet looked into. */
export interface DerElement {
  readonly tag: number;
  /** The whole element, header included. */
  readonly whole: Buffer;
  readonly contents: Buffer;
}

/** The bytes are no DER, or not of the shape that was expected. */
export class DerError extends Error {}

/** The elements that stand one after another, up to the last byte. */
export function readElements(bytes: Buffer): DerElement[] {
  const elements: DerElement[] = [];
  for (let at = 0; at < bytes.length;) {
    const element = readAt(bytes, at);
    elements.push(element);
    at += element.whole.length;
  }
  return elements;
}

/** The only element, nothing behind it. */
export function readOne(bytes: Buffer): DerElement {
  const element = readAt(bytes, 0);
  if (element.whole.length !== bytes.length) throw new DerError('bytes follow the element');
  return element;
}

/** The parts of a constructed element of this tag (SEQUENCE when left out). */
export function partsOf(element: DerElement | undefined, tag = 0x30): DerElement[] {
  if (element?.tag !== tag) throw new DerError(`expected tag 0x${tag.toString(16)}`);
  return readElements(element.contents);
}

/** Dotted form of an OBJECT IDENTIFIER. */
export function oidOf(element: DerElement | undefined): string {
  if (element?.tag !== 0x06) throw new DerError('expected an object identifier');
  const [first = 0, ...rest] = element.contents;
  const arcs = [Math.floor(first / 40), first % 40];
  let arc = 0;
  for (const byte of rest) {
    arc = arc * 128 + (byte & 0x7f);
    if ((byte & 0x80) === 0) {
      arcs.push(arc);
      arc = 0;
    }
  }
  return arcs.join('.');
}

function readAt(bytes: Buffer, at: number): DerElement {
  const tag = bytes[at];
  const first = bytes[at + 1];
  if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f) throw new DerError('no element');
  let length = first;
  let start = at + 2;
  if (first >= 0x80) {
    const count = first & 0x7f;
    if (count === 0 || count > 4 || start + count > bytes.length) throw new DerError('bad length');
    length = bytes.readUIntBE(start, count);
    start += count;
    if (length < 0x80 || (count > 1 && length < 2 ** (8 * (count - 1)))) throw new DerError('the length is not the shortest');
  }
  if (start + length > bytes.length) throw new DerError('the element is cut off');
  return { tag, whole: bytes.subarray(at, start + length), contents: bytes.subarray(start, start + length) };
}
