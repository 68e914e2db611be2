import { timingSafeEqual } from 'node:crypto';

/** Longer than any secret in use; a longer one makes every block longer. */
const LEAST_BYTES = 256;
const LENGTH_BYTES = 4;

/**
 * The broker's secrets. Each stands in a block of one size behind its length, so that comparing tells by its time neither
 * contents nor length: what a digest of both sides would give, at a tenth of its cost, which every question pays.
 */
export class BrokerSecrets {
  private readonly accepted: readonly Buffer[];
  private readonly presented: Buffer;

  constructor(secrets: readonly string[]) {
    const bytes = LENGTH_BYTES + Math.max(LEAST_BYTES, ...secrets.map((secret) => Buffer.byteLength(secret)));
    this.accepted = secrets.map((secret) => blockOf(secret, bytes));
    this.presented = Buffer.alloc(bytes);
  }

  /** A header's value: Node makes a character of each byte. All secrets are compared, whichever it is. */
  accept(given: string): boolean {
    const presented = this.presented;
    writeLength(presented, given.length);
    const end = LENGTH_BYTES + presented.write(given, LENGTH_BYTES, 'latin1');
    presented.fill(0, end);
    let known = false;
    for (const secret of this.accepted) known = timingSafeEqual(presented, secret) || known;
    return known;
  }
}

function blockOf(secret: string, bytes: number): Buffer {
  const block = Buffer.alloc(bytes);
  writeLength(block, block.write(secret, LENGTH_BYTES, 'utf8'));
  return block;
}

/** What does not fit into a block is cut off; its length then fits no secret. */
function writeLength(block: Buffer, length: number): void {
  block[0] = length;
  block[1] = length >>> 8;
  block[2] = length >>> 16;
  block[3] = length >>> 24;
}
