import { isAppError } from '../problem/app-error.js';
import { decodeCursor, encodeCursor, pageOf } from './paging.js';

const ID = '0f0e0d0c-0b0a-4908-8706-050403020100';

describe('a cursor', () => {
  it('comes back as it was given out, to the microsecond', () => {
    const key = { at: '2026-05-01T12:00:00.123456Z', id: ID };
    expect(decodeCursor(encodeCursor(key))).toEqual(key);
  });

  it.each([
    ['nothing of ours', 'garbage'],
    ['an hour that no day has', encodeCursor({ at: '2026-05-01T99:00:00Z', id: ID })],
    ['a day that no month has', encodeCursor({ at: '2026-13-41T00:00:00Z', id: ID })],
    ['SQL', encodeCursor({ at: "2026-05-01T00:00:00Z'; --", id: ID })],
    ['an id that is none', encodeCursor({ at: '2026-05-01T00:00:00Z', id: '7' })],
    ['a third part', Buffer.from(`2026-05-01T00:00:00Z|${ID}|x`).toString('base64url')],
  ])('of %s is refused by its own code', (_, cursor) => {
    let thrown: unknown;
    try {
      decodeCursor(cursor);
    } catch (error) {
      thrown = error;
    }
    expect(isAppError(thrown, 'CURSOR_INVALID')).toBe(true);
  });

  it('is given only when there is more', () => {
    const rows = [1, 2, 3].map((n) => ({ at: `2026-05-0${n}T00:00:00Z`, id: ID, n }));
    const show = ({ n }: { n: number }) => n;
    expect(pageOf(rows, 3, (row) => row, show)).toEqual({ items: [1, 2, 3], nextCursor: null });
    const page = pageOf(rows, 2, (row) => row, show);
    expect(page.items).toEqual([1, 2]);
    expect(decodeCursor(page.nextCursor ?? undefined)).toEqual({ at: '2026-05-02T00:00:00Z', id: ID });
  });
});
