import { TextField } from './fields.js';

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };
const DURATION = /^([1-9]\d{0,8})([smhd])$/;

/** A length of time as text, such as `720h`, `30d`, `90m`, `45s`. */
export function DurationField(options: { optional?: boolean; nullable?: boolean; description?: string; example?: string } = {}): PropertyDecorator {
  return TextField({ ...options, min: 2, max: 10, pattern: DURATION, patternHint: 'a whole number with s, m, h or d, such as 720h' });
}

/** Seconds of a text that passed `DurationField`. */
export function secondsOf(text: string): number {
  const [, count = '', unit = ''] = DURATION.exec(text) ?? [];
  const seconds = Number(count) * (UNITS[unit] ?? Number.NaN);
  if (!Number.isSafeInteger(seconds)) throw new Error('a duration was used unchecked');
  return seconds;
}
