import { isIP } from 'node:net';
import { isObject, type HoconObject, type HoconValue } from './hocon.js';

/** A value at a path; `undefined` where the path ends earlier, and for `null`, which is how HOCON unsets a value. */
export function valueAt(root: HoconValue | undefined, path: string): HoconValue | undefined {
  let value = root;
  for (const key of path.split('.')) {
    if (!isObject(value)) return undefined;
    value = Object.hasOwn(value, key) ? value[key] : undefined;
  }
  return value ?? undefined;
}

export function objectAt(root: HoconValue | undefined, path: string): HoconObject | undefined {
  const value = valueAt(root, path);
  return isObject(value) ? value : undefined;
}

/** A list, or one element that stands alone, as EMQX takes both. */
export function listOf(value: HoconValue | undefined): readonly HoconValue[] {
  if (value === undefined || value === null || value === '') return [];
  return Array.isArray(value) ? value : [value];
}

/** A switch; `fallback` where it is not set. Text that is no switch counts as `null`: nobody knows. */
export function switchOf(value: HoconValue | undefined, fallback: boolean): boolean | null {
  if (value === undefined || value === null) return fallback;
  if (typeof value === 'boolean') return value;
  if (value === 'true' || value === 'on') return true;
  return value === 'false' || value === 'off' ? false : null;
}

export function textOf(value: HoconValue | undefined): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** Milliseconds of `500ms`, `1m30s` or a number; `null` for anything else (`infinity` too). */
export function durationOf(value: HoconValue | undefined): number | null {
  if (typeof value === 'number') return value;
  if (typeof value !== 'string' || !/^(\d{1,12}(ms|[smhdw]))+$/i.test(value)) return null;
  let total = 0;
  for (const [, amount = '0', unit = 'ms'] of value.toLowerCase().matchAll(/(\d+)(ms|[smhdw])/g)) total += Number(amount) * (UNITS[unit] ?? 0);
  return total;
}

/** Bytes of `16KB`, `1MB` or a number; `null` for anything else. */
export function bytesOf(value: HoconValue | undefined): number | null {
  if (typeof value === 'number') return value;
  const match = /^(\d{1,12})(kb|mb|gb|b)?$/i.exec(textOf(value));
  if (!match) return null;
  const unit = (match[2] ?? 'b').toLowerCase();
  return Number(match[1]) * (unit === 'gb' ? 2 ** 30 : unit === 'mb' ? 2 ** 20 : unit === 'kb' ? 2 ** 10 : 1);
}

/** Whether `bind` is reachable from this machine alone. A port without address is reachable from everywhere. */
export function bindsLoopback(bind: HoconValue | undefined): boolean {
  const host = /^(.+):\d+$/.exec(textOf(bind))?.[1] ?? '';
  return isLoopbackHost(host);
}

export function isLoopbackHost(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, '$1');
  return bare === 'localhost' || bare === '::1' || (isIP(bare) === 4 && bare.startsWith('127.'));
}

/** A listener that takes clients, with where it stands. */
export interface Listener {
  readonly type: string;
  readonly path: string;
  readonly settings: HoconObject;
}

/** Listeners that are open. `"marked_for_deletion"` is how EMQX keeps a deleted default in mind. */
export function openListeners(config: HoconObject): Listener[] {
  const found: Listener[] = [];
  for (const [type, named] of Object.entries(objectAt(config, 'listeners') ?? {})) {
    if (!isObject(named)) continue;
    for (const [name, settings] of Object.entries(named)) {
      if (!isObject(settings)) continue;
      if (switchOf(settings['enable'] ?? settings['enabled'], true) === false) continue;
      found.push({ type, path: `listeners.${type}.${name}`, settings });
    }
  }
  return found;
}
