/** A moment from which on what was confirmed is believed again, by name; bounded, and never forgetting in favour of belief. */
export class Distrust {
  private readonly since = new Map<string, number>();
  /** For every name: those that were pushed out, and none of them later than this. */
  private everything = Number.NEGATIVE_INFINITY;

  /** `capacity` names; what is older than `keepMs` matters to nobody. */
  constructor(
    private readonly capacity: number,
    private readonly keepMs: number,
  ) {}

  /** What was confirmed until `now` is no longer believed of `name`. */
  note(name: string, now: number): void {
    // Last in the order of insertion again.
    this.since.delete(name);
    for (const [oldest, at] of this.since) {
      const over = at <= now - this.keepMs;
      if (!over && this.since.size < this.capacity) break;
      if (!over) this.everything = Math.max(this.everything, at);
      this.since.delete(oldest);
    }
    this.since.set(name, now);
  }

  /** Whether something that was confirmed at this time must not be believed of `name`. */
  covers(name: string, confirmedAt: number): boolean {
    return confirmedAt <= this.everything || confirmedAt <= (this.since.get(name) ?? Number.NEGATIVE_INFINITY);
  }
}
