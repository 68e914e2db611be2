import { type Rate, type Spent, WINDOW_CAP } from './key-value.js';

/**
 * Generic cell rate algorithm. The whole state of a key is one number: the theoretical arrival time
 * (ms since the epoch) at which all that was spent will have been regained. The Lua form in
 * `scripts.ts` computes the same, step by step.
 */
export interface GcraStep extends Spent {
  /** To be stored; `null` when nothing need be remembered. */
  readonly tat: number | null;
}

/** Throws RangeError for a rate or cost that could never be met. */
export function checkRate(rate: Rate, cost: number): void {
  const whole = Number.isSafeInteger(rate.intervalMs) && Number.isSafeInteger(rate.burst) && Number.isSafeInteger(cost);
  if (!whole || rate.intervalMs < 1 || rate.burst < 1 || !Number.isSafeInteger(rate.intervalMs * rate.burst))
    throw new RangeError('a rate is whole milliseconds and whole units');
  if (cost > rate.burst) throw new RangeError(`a cost of ${cost} is never met by a burst of ${rate.burst}`);
}

/** Spends `cost` at `now` (ms). On refusal the state stays as it was. */
export function gcraSpend(stored: number | null, now: number, rate: Rate, cost = 1): GcraStep {
  checkRate(rate, cost);
  const tolerance = rate.intervalMs * rate.burst;
  const before = clampTat(stored, now, tolerance);
  const after = Math.max(before + cost * rate.intervalMs, now);
  const allowAt = after - tolerance;
  if (now < allowAt) {
    return { allowed: false, retryAfterMs: allowAt - now, remaining: unitsLeft(before, now, rate), tat: before };
  }
  return { allowed: true, retryAfterMs: 0, remaining: unitsLeft(after, now, rate), tat: after > now ? after : null };
}

/** The answer of spending one unit, with the state left alone. */
export function gcraPeek(stored: number | null, now: number, rate: Rate): Spent {
  const step = gcraSpend(stored, now, rate, 1);
  const remaining = unitsLeft(clampTat(stored, now, rate.intervalMs * rate.burst), now, rate);
  return { allowed: step.allowed, retryAfterMs: step.retryAfterMs, remaining };
}

/** A clock that was set back must not leave anybody refused for longer than an empty bucket would be. */
function clampTat(stored: number | null, now: number, tolerance: number): number {
  return Math.min(Math.max(stored ?? now, now), now + tolerance);
}

function unitsLeft(tat: number, now: number, rate: Rate): number {
  return Math.floor((now + rate.intervalMs * rate.burst - tat) / rate.intervalMs);
}

/**
 * Adds `now` to a log of occurrences (ms, in order of arrival), drops from its head what has left the
 * window, and keeps the newest `cap`. Works in place; answers the count.
 */
export function addToWindow(times: number[], now: number, windowMs: number, cap = WINDOW_CAP): number {
  times.push(now);
  while (times.length > cap) times.shift();
  while (times.length > 0 && times[0]! <= now - windowMs) times.shift();
  return times.length;
}
