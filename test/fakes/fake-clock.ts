import { Clock } from '../../src/platform/clock/clock.js';

/** A clock that moves only when a test says so. */
export class FakeClock extends Clock {
  constructor(private time = Date.parse('2026-01-01T00:00:00Z')) {
    super();
  }

  now(): number {
    return this.time;
  }

  advance(ms: number): void {
    this.time += ms;
  }

  set(ms: number): void {
    this.time = ms;
  }
}
