/** One element of a DER encoding, its contents not yet looked into. Bytes are cut out when they are asked for: most never are. */
export class DerElement {
  constructor(
    private readonly bytes: Buffer,
    private readonly from: number,
    private readonly start: number,
    private readonly end: number,
  ) {}

  get tag(): number {
    return this.bytes[this.from] as number;
  }

  /** The whole element, header included. */
  get whole(): Buffer {
    return this.bytes.subarray(this.from, this.end);
  }

  get contents(): Buffer {
    return this.bytes.subarray(this.start, this.end);
  }

  /** Of the whole. */
  get length(): number {
    return this.end - this.from;
  }

  /** The elements inside, one after another up to the last byte. @throws DerError */
  elements(): DerElement[] {
    return elementsBetween(this.bytes, this.start, this.end);
  }
}

/** The bytes are no DER, or not of the shape that was expected. */
export class DerError extends Error {}

/** The elements that stand one after another, up to the last byte. */
export function readElements(bytes: Buffer): DerElement[] {
  return elementsBetween(bytes, 0, bytes.length);
}

/** The only element, nothing behind it. */
export function readOne(bytes: Buffer): DerElement {
  const element = readAt(bytes, 0, bytes.length);
  if (element.length !== bytes.length) throw new DerError('bytes follow the element');
  return element;
}

/** The parts of a constructed element of this tag (SEQUENCE when left out). */
export function partsOf(element: DerElement | undefined, tag = 0x30): DerElement[] {
  if (element?.tag !== tag) throw new DerError(`expected tag 0x${tag.toString(16)}`);
  return element.elements();
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

function elementsBetween(bytes: Buffer, start: number, end: number): DerElement[] {
  const elements: DerElement[] = [];
  for (let at = start; at < end;) {
    const element = readAt(bytes, at, end);
    elements.push(element);
    at += element.length;
  }
  return elements;
}

/** The element that begins at `at` and ends before `end` at the latest. */
function readAt(bytes: Buffer, at: number, end: number): DerElement {
  if (at + 2 > end) throw new DerError('no element');
  const tag = bytes[at] as number;
  const first = bytes[at + 1] as number;
  if ((tag & 0x1f) === 0x1f) throw new DerError('no element');
  let length = first;
  let start = at + 2;
  if (first >= 0x80) {
    const count = first & 0x7f;
    if (count === 0 || count > 4 || start + count > end) throw new DerError('bad length');
    length = bytes.readUIntBE(start, count);
    start += count;
    if (length < 0x80 || (count > 1 && length < 2 ** (8 * (count - 1)))) throw new DerError('the length is not the shortest');
  }
  if (start + length > end) throw new DerError('the element is cut off');
  return new DerElement(bytes, at, start, start + length);
}
