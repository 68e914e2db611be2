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
    this.accepted = secrets.map((secret) => fill(Buffer.alloc(bytes), secret));
    this.presented = Buffer.alloc(bytes);
  }

  /** All of them are compared, whichever it is. */
  accept(given: string): boolean {
    const presented = fill(this.presented, given);
    let known = false;
    for (const secret of this.accepted) known = timingSafeEqual(presented, secret) || known;
    return known;
  }
}

/** What does not fit is cut off; its length then fits no secret. */
function fill(block: Buffer, text: string): Buffer {
  block.fill(0);
  block.writeUInt32BE(Buffer.byteLength(text), 0);
  block.write(text, LENGTH_BYTES, 'utf8');
  return block;
}
