import type { Keyset } from '../platform/http/paging.js';

/** How much later than a newer one a row may be written and still be told: batches are written after 200 ms, clocks differ. */
export const OVERLAP_MS = 10_000;
const MAX_KNOWN = 5_000;

/**
 * What a tail has told, so that rows which are written out of order are told once and none is left out: everything behind `floor`
 * is read again each time, but for the ids that are known.
 */
export class AuditWindow {
  /** Id → time, oldest first but for late ones. */
  private readonly known = new Map<string, string>();
  private high: Keyset | null = null;
  private floor_: string;

  /** @param from rows that occurred before this time (ms since the epoch) are never told. */
  constructor(from: number) {
    this.floor_ = timeText(from);
  }

  /** ISO 8601 with microseconds. */
  get floor(): string {
    return this.floor_;
  }

  get ids(): string[] {
    return [...this.known.keys()];
  }

  /** The newest row that was told, for `Last-Event-ID`. */
  get mark(): Keyset | null {
    return this.high;
  }

  /** Rows that were read, in order of time. */
  tell(rows: readonly Keyset[]): void {
    for (const { at, id } of rows) {
      this.known.set(id, at);
      if (this.high === null || at > this.high.at || (at === this.high.at && id > this.high.id)) this.high = { at, id };
    }
    if (this.high) this.raise(timeText(Date.parse(this.high.at) - OVERLAP_MS));
    // A flood: the floor follows what can be kept in mind, so that nothing is told twice.
    if (this.known.size > MAX_KNOWN) {
      const times = [...this.known.values()].sort();
      this.raise(times[this.known.size - MAX_KNOWN] ?? this.floor_);
    }
  }

  private raise(floor: string): void {
    if (floor <= this.floor_) return;
    this.floor_ = floor;
    for (const [id, at] of this.known) if (at < floor) this.known.delete(id);
  }
}

/** As Postgres tells times here, so that two can be compared as text. */
function timeText(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, -1)}000Z`;
}
