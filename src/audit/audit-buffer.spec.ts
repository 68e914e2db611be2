import { randomUUID } from 'node:crypto';
import { AGGREGATION_MS, AuditBuffer, LANE_ROOM, LANES, MAX_FACES, type Lane, type LaneRoom } from './audit-buffer.js';
import { AUDIT_EVENTS, SEVERITIES, type AuditEvent } from './audit-event.js';
import { orderedId, type AuditRow } from './audit-row.js';

const T0 = Date.parse('2026-03-01T00:00:00Z');
const SMALL: LaneRoom = { rows: 10, kinds: 5, bytes: 100_000 };
const small = (): AuditBuffer => new AuditBuffer({ high: SMALL, success: SMALL, rest: SMALL });

function failure(deviceId: string, overrides: Partial<AuditEvent> = {}): AuditEvent {
  return { type: 'AUTH_FAILURE', tenantId: null, deviceId, actor: { kind: 'device', id: deviceId }, ip: '192.0.2.1', ...overrides };
}

function detailsOf(row: AuditRow): Record<string, unknown> {
  return JSON.parse(row.details) as Record<string, unknown>;
}

/** How many events rows stand for, gaps apart. */
function told(rows: readonly AuditRow[]): { events: number; gaps: number } {
  const count = (wanted: boolean): number =>
    rows.filter((row) => (row.eventType === 'LOG_GAP') === wanted).reduce((sum, row) => sum + Number(detailsOf(row)['count'] ?? 1), 0);
  return { events: count(false), gaps: count(true) };
}

function takeAll(buffer: AuditBuffer, now: number): AuditRow[] {
  const all: AuditRow[] = [];
  for (;;) {
    const rows = buffer.take(1_000, now, true);
    if (rows.length === 0) return all;
    all.push(...rows);
  }
}

describe('AuditBuffer', () => {
  it('hands out the first of a kind at once and its repeats as one row when their minute is over', () => {
    const buffer = small();
    const id = randomUUID();
    for (let i = 0; i < 5; i += 1) buffer.add(failure(id, { details: { reason: 'BAD_SECRET', topic: 't' } }), T0 + i * 1_000);
    const [first, ...others] = buffer.take(100, T0 + 4_000);
    expect(first).toMatchObject({ eventType: 'AUTH_FAILURE', deviceId: id, occurredAt: T0, severity: 'WARNING' });
    expect(others).toEqual([]);
    expect(buffer.take(100, T0 + AGGREGATION_MS - 1)).toEqual([]);

    const [repeats] = buffer.take(100, T0 + AGGREGATION_MS);
    expect(repeats).toMatchObject({ deviceId: id, occurredAt: T0 + 4_000 });
    expect(detailsOf(repeats!)).toEqual({
      reason: 'BAD_SECRET', topic: 't', count: 4, firstAt: '2026-03-01T00:00:01.000Z', lastAt: '2026-03-01T00:00:04.000Z',
    });
    buffer.add(failure(id, { details: { reason: 'BAD_SECRET' } }), T0 + AGGREGATION_MS);
    expect(buffer.take(100, T0 + AGGREGATION_MS)).toHaveLength(1);
  });

  it('counts an object that is noted again and again as it counts equal ones, minute after minute', () => {
    const [kept, equal] = [small(), small()];
    const event = failure(randomUUID(), { details: { reason: 'BAD_SECRET' } });
    for (const at of [0, 1, 2, AGGREGATION_MS - 1, AGGREGATION_MS, AGGREGATION_MS + 1, 3 * AGGREGATION_MS]) {
      kept.addAgain(event, T0 + at);
      equal.add({ ...event }, T0 + at);
    }
    const without = (rows: AuditRow[]) => rows.map((row) => ({ ...row, id: '' }));
    expect(kept.aggregated).toBe(4);
    expect(without(takeAll(kept, T0 + 3 * AGGREGATION_MS))).toEqual(without(takeAll(equal, T0 + 3 * AGGREGATION_MS)));
  });

  it('counts one kind once, whether an event is the same object or an equal one', () => {
    const buffer = small();
    const event = failure(randomUUID());
    buffer.add({ ...event }, T0);
    buffer.addAgain(event, T0 + 1);
    buffer.addAgain(event, T0 + 2);
    buffer.add({ ...event }, T0 + 3);
    expect(told(takeAll(buffer, T0 + 4))).toEqual({ events: 4, gaps: 0 });
    expect(buffer.aggregated).toBe(3);
  });

  it('counts a crowd of made-up names or addresses as one kind, and leaves every other device its own rows', () => {
    const buffer = new AuditBuffer();
    const id = randomUUID();
    for (let i = 0; i < 5_000; i += 1) buffer.add(failure(id, { ip: `10.0.${i >> 8}.${i & 255}`, details: { reason: 'BAD_SECRET' } }), T0 + i);
    const other = randomUUID();
    buffer.add(failure(other, { ip: '10.0.0.1', details: { reason: 'BAD_SECRET' } }), T0 + 5_000);
    const rows = takeAll(buffer, T0 + 5_000);
    expect(told(rows)).toEqual({ events: 5_001, gaps: 0 });
    expect(rows.length).toBe(MAX_FACES + 3);
    expect(rows.filter((row) => row.deviceId === other)).toMatchObject([{ ip: '10.0.0.1' }]);
    expect(rows.filter((row) => row.ip === null).map(detailsOf)).toEqual([
      { reason: 'BAD_SECRET', various: true },
      expect.objectContaining({ reason: 'BAD_SECRET', various: true, count: 5_000 - MAX_FACES - 1 }),
    ]);
  });

  it('opens a new minute for a kind whose old one nobody has closed yet', () => {
    const buffer = small();
    const id = randomUUID();
    for (const at of [T0, T0 + 1, T0 + AGGREGATION_MS]) buffer.add(failure(id), at);
    expect(told(buffer.take(100, T0 + AGGREGATION_MS))).toEqual({ events: 3, gaps: 0 });
  });

  it.each<[string, Partial<AuditEvent>]>([
    ['type', { type: 'ACL_DENIED' }],
    ['severity', { severity: 'INFO' }],
    ['reason', { details: { reason: 'OTHER' } }],
    ['tenant', { tenantId: randomUUID() }],
    ['device', { deviceId: randomUUID() }],
    ['actor', { actor: { kind: 'service', id: randomUUID() } }],
    ['address', { ip: '192.0.2.2' }],
  ])('takes events that differ in %s for two kinds', (_what, difference) => {
    const buffer = small();
    const id = randomUUID();
    buffer.add(failure(id, { details: { reason: 'BAD_SECRET' } }), T0);
    buffer.add(failure(id, { details: { reason: 'BAD_SECRET' }, ...difference }), T0);
    expect(buffer.take(100, T0)).toHaveLength(2);
  });

  it('loses nothing of 10^5 events of a few kinds, in the memory of those few', () => {
    const buffer = new AuditBuffer();
    const ids = Array.from({ length: 100 }, () => randomUUID());
    for (let i = 0; i < 100_000; i += 1) buffer.add(failure(ids[i % ids.length]!, { details: { reason: 'BAD_SECRET' } }), T0 + (i % 1_000));
    expect(buffer.queued).toBe(ids.length);
    expect(told(takeAll(buffer, T0 + 1_000))).toEqual({ events: 100_000, gaps: 0 });
  });

  it('counts exactly what found no room when 10^5 events are all of different kinds', () => {
    const buffer = new AuditBuffer();
    for (let i = 0; i < 100_000; i += 1) buffer.add(failure(randomUUID()), T0 + i);
    expect(buffer.queued).toBe(LANE_ROOM.rest.rows);
    const rows = takeAll(buffer, T0 + 100_000);
    expect(told(rows)).toEqual({ events: LANE_ROOM.rest.rows, gaps: 100_000 - LANE_ROOM.rest.rows });
    const gap = rows.find((row) => row.eventType === 'LOG_GAP')!;
    expect(gap).toMatchObject({ severity: 'HIGH', tenantId: null, actorKind: 'system' });
    expect(detailsOf(gap)).toEqual({
      lane: 'rest', count: 80_000, from: new Date(T0 + LANE_ROOM.rest.rows).toISOString(), to: new Date(T0 + 99_999).toISOString(),
    });
    expect(buffer.dropped).toEqual({ high: 0, success: 0, rest: 80_000 });
  });

  it('keeps successes and HIGH when noise fills its own room', () => {
    const buffer = small();
    for (let i = 0; i < 500; i += 1) buffer.add(failure(randomUUID()), T0);
    const id = randomUUID();
    buffer.add(failure(id, { type: 'AUTH_SUCCESS' }), T0);
    buffer.add(failure(id, { type: 'REPLAY_DETECTED' }), T0);
    const rows = takeAll(buffer, T0);
    expect(rows.map((row) => row.eventType)).toEqual(expect.arrayContaining(['AUTH_SUCCESS', 'REPLAY_DETECTED']));
    expect(buffer.dropped).toEqual({ high: 0, success: 0, rest: 500 - SMALL.rows });
  });

  it('hands HIGH out first and gives noise no more than half of what is left', () => {
    const buffer = new AuditBuffer();
    for (let i = 0; i < 20; i += 1) {
      buffer.add(failure(randomUUID()), T0);
      buffer.add(failure(randomUUID(), { type: 'AUTH_SUCCESS' }), T0);
    }
    buffer.add(failure(randomUUID(), { type: 'REPLAY_DETECTED' }), T0);
    const rows = buffer.take(11, T0);
    expect(rows[0]!.eventType).toBe('REPLAY_DETECTED');
    expect(rows.filter((row) => row.eventType === 'AUTH_SUCCESS')).toHaveLength(5);
  });

  it('bounds the bytes of details as well as the rows', () => {
    const buffer = new AuditBuffer({ high: SMALL, success: SMALL, rest: { rows: 1_000, kinds: 0, bytes: 20_000 } });
    for (let i = 0; i < 100; i += 1) buffer.add(failure(randomUUID(), { details: { text: 'x'.repeat(400) } }), T0);
    const { events, gaps } = told(takeAll(buffer, T0));
    expect(events).toBeLessThan(60);
    expect(events + gaps).toBe(100);
  });

  it('gives its room back: what was taken can be filled again, for ever', () => {
    const buffer = new AuditBuffer({ high: SMALL, success: SMALL, rest: { rows: 10, kinds: 5, bytes: 2_000 } });
    for (let round = 0; round < 50; round += 1) {
      const now = T0 + round * AGGREGATION_MS;
      const id = randomUUID();
      for (let i = 0; i < 3; i += 1) buffer.add(failure(id, { details: { text: 'x'.repeat(100) } }), now);
      expect(told(takeAll(buffer, now))).toEqual({ events: 3, gaps: 0 });
    }
  });

  it('goes on counting repeats while nobody takes rows', () => {
    const buffer = small();
    const id = randomUUID();
    buffer.add(failure(id), T0);
    for (let i = 0; i < SMALL.rows; i += 1) buffer.add(failure(randomUUID()), T0);
    for (let i = 0; i < 100; i += 1) buffer.add(failure(id), T0 + i * 10_000);
    expect(told(takeAll(buffer, T0 + 1_000_000))).toEqual({ events: SMALL.rows + 100, gaps: 1 });
  });

  it('tells a tenant of its own gaps', () => {
    const buffer = small();
    const tenantId = randomUUID();
    for (let i = 0; i < 15; i += 1) buffer.add(failure(randomUUID(), { tenantId }), T0);
    const gaps = takeAll(buffer, T0).filter((row) => row.eventType === 'LOG_GAP');
    expect(gaps.map((row) => [row.tenantId, detailsOf(row)['count']])).toEqual([[tenantId, 5]]);
  });

  it('keeps an id that is no UUID as text, since the column cannot hold it', () => {
    const buffer = small();
    buffer.add(failure('dev\u0000ice'), T0);
    const [row] = buffer.take(10, T0);
    expect(row!.deviceId).toBeNull();
    expect(detailsOf(row!)).toEqual({ misfit: { deviceId: 'dev\ufffdice' } });
  });
});

describe('the catalogue of events', () => {
  it('gives every type a severity that has a lane', () => {
    for (const { severity } of Object.values(AUDIT_EVENTS)) expect(SEVERITIES).toContain(severity);
    expect(Object.keys(LANE_ROOM).sort()).toEqual([...LANES].sort() satisfies Lane[]);
  });
});

describe('orderedId', () => {
  it('is a UUID of version 7 that sorts in the order of making, within a millisecond too', () => {
    const ids = Array.from({ length: 4_000 }, () => orderedId(T0));
    expect(ids.every((id) => /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id))).toBe(true);
    expect([...ids].sort()).toEqual(ids);
    expect(orderedId(T0 + 1) > ids.at(-1)!).toBe(true);
  });
});
