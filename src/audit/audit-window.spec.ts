import { AuditWindow, OVERLAP_MS } from './audit-window.js';

const BASE = Date.parse('2026-04-01T00:00:00.000Z');
const row = (ms: number, id: string) => ({ at: `${new Date(BASE + ms).toISOString().slice(0, -1)}000Z`, id });

describe('the window of a tail', () => {
  it('keeps its floor the overlap behind the newest row, and never lowers it', () => {
    const window = new AuditWindow(BASE);
    window.tell([row(0, 'a')]);
    expect(window.floor).toBe(row(0, '').at);
    window.tell([row(OVERLAP_MS + 50, 'b')]);
    expect(window.floor).toBe(row(50, '').at);
    window.tell([row(60, 'late')]);
    expect(window.floor).toBe(row(50, '').at);
    expect(window.ids).toEqual(['b', 'late']);
  });

  it('marks the newest row, not the last told', () => {
    const window = new AuditWindow(BASE);
    window.tell([row(5, 'b')]);
    window.tell([row(1, 'a'), row(5, 'a')]);
    expect(window.mark).toEqual(row(5, 'b'));
  });

  it('stays bounded in a flood', () => {
    const window = new AuditWindow(BASE);
    for (let batch = 0; batch < 40; batch += 1) window.tell(Array.from({ length: 500 }, (_, i) => row(batch, `${batch}-${i}`)));
    expect(window.ids.length).toBeLessThanOrEqual(5_000);
    expect(window.floor > row(20, '').at).toBe(true);
  });
});
