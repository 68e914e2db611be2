import { addToWindow } from '../platform/redis/gcra.js';
import { Lru } from '../platform/redis/lru.js';

interface Failures {
  /** Times of the newest failures (ms), at most as many as the threshold. */
  readonly times: number[];
  /** When the threshold was last told to be crossed; null while the count is below it. */
  toldAt: number | null;
}

/** Counts failures by subject in a sliding window and tells when one crosses the threshold. */
export class FailureWindow {
  private readonly subjects: Lru<string, Failures>;

  constructor(
    private readonly threshold: number,
    private readonly windowMs: number,
    capacity: number,
  ) {
    this.subjects = new Lru(capacity);
  }

  get size(): number {
    return this.subjects.size;
  }

  /**
   * Adds a failure; true if it is the one that reaches the threshold. True again after the count fell
   * below it, or when failures go on a whole window later: then what was ordered did not hold.
   */
  add(subject: string, at: number): boolean {
    const failures = this.subjects.get(subject) ?? { times: [], toldAt: null };
    const before = failures.times.filter((time) => time > at - this.windowMs).length;
    if (before < this.threshold) failures.toldAt = null;
    const count = addToWindow(failures.times, at, this.windowMs, this.threshold);
    const crossed = count >= this.threshold && (failures.toldAt === null || at - failures.toldAt >= this.windowMs);
    if (crossed) failures.toldAt = at;
    this.subjects.set(subject, failures);
    return crossed;
  }

  /** The crossing was seen elsewhere; true if it was not known here. */
  markAbove(subject: string, at: number): boolean {
    if (this.isAbove(subject)) return false;
    this.subjects.set(subject, { times: Array.from({ length: this.threshold }, () => at), toldAt: at });
    return true;
  }

  isAbove(subject: string): boolean {
    return (this.subjects.peek(subject)?.toldAt ?? null) !== null;
  }

  forget(subject: string): void {
    this.subjects.delete(subject);
  }
}
