/** The only source of time for code that decides; tests put a fake in its place. */
export abstract class Clock {
  /** Milliseconds since the Unix epoch. */
  abstract now(): number;
}

/** The machine's wall clock. */
export class SystemClock extends Clock {
  now(): number {
    return Date.now();
  }
}
