import type { Clock } from '../clock/clock.js';

/** After a failure of the source it is left alone this long, and then tried aside, by whoever can be served without it. */
const PAUSE_MS = 500;
/** So long after its last failure nobody who can be served without the source waits for it. */
const DOUBT_MS = 5_000;

/** Remembers that the source failed, so that not everybody waits until it has failed them too. */
export class SourceDoubt {
  private pausedUntil = 0;
  private doubtedUntil = 0;
  private trying = false;

  constructor(private readonly clock: Clock) {}

  get doubted(): boolean {
    return this.clock.now() < this.doubtedUntil;
  }

  failed(): void {
    const now = this.clock.now();
    this.pausedUntil = now + PAUSE_MS;
    this.doubtedUntil = now + DOUBT_MS;
  }

  answered(): void {
    this.doubtedUntil = 0;
  }

  /** Finds out, without anybody waiting for it, whether the source is back: one that hangs would hold up every answer. */
  tryAside(ask: () => Promise<unknown>): void {
    if (this.trying || this.clock.now() < this.pausedUntil) return;
    this.trying = true;
    ask()
      .then(() => this.answered(), () => this.failed())
      .finally(() => (this.trying = false));
  }
}
