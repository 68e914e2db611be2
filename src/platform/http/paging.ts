import { platformError } from '../problem/platform.errors.js';
import { QueryIntegerField, TextField } from './fields.js';

/** Query of every list: `?limit=&cursor=`. */
export class PageQuery {
  @QueryIntegerField({ optional: true, min: 1, max: 200, description: 'Items a page, 50 by default.' })
  limit?: number;

  @TextField({ optional: true, max: 512, description: '`nextCursor` of the page before.' })
  cursor?: string;
}

export const DEFAULT_PAGE = 50;

/** Where a page ended: the sort key of its last item. Stable under inserts, unlike an offset. */
export interface Keyset {
  /** ISO 8601, microseconds kept. */
  readonly at: string;
  readonly id: string;
}

export interface Page<T> {
  readonly items: T[];
  readonly nextCursor: string | null;
}

/** @throws CURSOR_INVALID */
export function decodeCursor(cursor: string | undefined): Keyset | undefined {
  if (cursor === undefined) return undefined;
  const [at = '', id = '', ...rest] = Buffer.from(cursor, 'base64url').toString('utf8').split('|');
  // Date.parse refuses what the pattern lets through, such as hour 99; Postgres must never be asked about it.
  const good = rest.length === 0
    && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$/.test(at)
    && !Number.isNaN(Date.parse(at))
    && /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/.test(id);
  if (!good) throw platformError('CURSOR_INVALID');
  return { at, id };
}

export function encodeCursor({ at, id }: Keyset): string {
  return Buffer.from(`${at}|${id}`, 'utf8').toString('base64url');
}

/** Cuts `limit + 1` rows to a page; `keyOf` reads the sort key of a row. */
export function pageOf<R, T>(rows: readonly R[], limit: number, keyOf: (row: R) => Keyset, show: (row: R) => T): Page<T> {
  const kept = rows.slice(0, limit);
  const last = kept.at(-1);
  return { items: kept.map(show), nextCursor: rows.length > limit && last !== undefined ? encodeCursor(keyOf(last)) : null };
}
