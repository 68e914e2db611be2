import { randomUUID } from 'node:crypto';
import type { TestingModule } from '@nestjs/testing';
import pg from 'pg';
import type { AuditEvent } from '../../src/audit/audit-event.js';
import { AuditModule } from '../../src/audit/audit.module.js';
import { AuditStream } from '../../src/audit/audit.stream.js';
import { administer, cloneDatabase, type TestDatabase } from '../factories/database.js';
import { openRooms } from '../factories/room.js';
import { FakeClock } from '../fakes/fake-clock.js';
import { FlakyProxy } from '../fakes/flaky-proxy.js';

interface Stored {
  tenant_id: string | null;
  event_type: string;
  severity: string;
  device_id: string | null;
  occurred_at: Date;
  details: Record<string, unknown>;
}

let database: TestDatabase;
let line: FlakyProxy;
let room: TestingModule;
let clock: FakeClock;
let tenantId: string;

beforeEach(async () => {
  database = await cloneDatabase();
  line = await FlakyProxy.before(database.url);
  clock = new FakeClock(Date.now());
  room = await openRooms({ database: { ...database, url: line.route(database.url) }, imports: [AuditModule], entities: [], clock });
  [{ id: tenantId }] = await owner<{ id: string }>('SELECT id FROM tenants') as [{ id: string }];
});

afterEach(async () => {
  await room.close();
  await line.close();
  await database.drop();
});

/** Straight to the server, past the line and past row security. */
async function owner<T extends object>(sql: string, params: unknown[] = []): Promise<T[]> {
  let rows: T[] = [];
  await administer(database.url, async (client: pg.Client) => {
    ({ rows } = await client.query<T>(sql, params));
  });
  return rows;
}

const stored = (): Promise<Stored[]> => owner<Stored>('SELECT * FROM security_audit_logs ORDER BY occurred_at, id');

function event(overrides: Partial<AuditEvent> = {}): AuditEvent {
  return { type: 'AUTH_FAILURE', tenantId, deviceId: randomUUID(), actor: { kind: 'device', id: null }, ip: '192.0.2.7', ...overrides };
}

function eventsIn(rows: readonly Stored[], gaps: boolean): number {
  return rows.filter((row) => (row.event_type === 'LOG_GAP') === gaps)
    .reduce((sum, row) => sum + Number(row.details['count'] ?? 1), 0);
}

describe('AuditStream', () => {
  it('writes what was noted with the time of the note, each row under its own tenant', async () => {
    const stream = room.get(AuditStream);
    const [{ id: other }] = await owner<{ id: string }>(`INSERT INTO tenants (slug, name) VALUES ('other', 'Other') RETURNING id`) as [{ id: string }];
    const noted = clock.now();
    stream.note(event({ details: { reason: 'BAD_SECRET' } }));
    stream.note(event({ tenantId: other, type: 'AUTH_SUCCESS' }));
    stream.note(event({ tenantId: null, deviceId: null, type: 'REPLAY_DETECTED' }));
    clock.advance(5_000);
    await stream.flush();
    const rows = await stored();
    expect(rows.map((row) => [row.tenant_id, row.event_type, row.severity])).toEqual([
      [tenantId, 'AUTH_FAILURE', 'WARNING'], [other, 'AUTH_SUCCESS', 'INFO'], [null, 'REPLAY_DETECTED', 'HIGH'],
    ]);
    expect(rows.every((row) => row.occurred_at.getTime() === noted)).toBe(true);
    expect(stream.stats).toMatchObject({ queued: 0, written: 3 });
  });

  it('writes by itself, without anybody flushing', async () => {
    const stream = room.get(AuditStream);
    stream.note(event());
    const until = performance.now() + 10_000;
    while (stream.stats.written < 1 && performance.now() < until) await new Promise((resolve) => setImmediate(resolve));
    expect(await stored()).toHaveLength(1);
  });

  it('loses nothing of a burst of 10^5 notes: every one is a row, in a count, or in a gap', async () => {
    const stream = room.get(AuditStream);
    const devices = Array.from({ length: 5_000 }, () => randomUUID());
    for (let i = 0; i < 70_000; i += 1) stream.note(event({ type: 'AUTH_SUCCESS', deviceId: devices[i % devices.length] }));
    for (let i = 0; i < 30_000; i += 1) stream.note(event());
    expect(stream.stats.queued).toBeLessThanOrEqual(25_000);
    await stream.flush();
    clock.advance(60_000);
    await stream.flush();
    const rows = await stored();
    expect(eventsIn(rows.filter((row) => row.event_type === 'AUTH_SUCCESS'), false)).toBe(70_000);
    expect(eventsIn(rows, false) + eventsIn(rows, true)).toBe(100_000);
    expect(eventsIn(rows, true)).toBe(10_000);
    expect(stream.stats).toMatchObject({ queued: 0, dropped: { high: 0, success: 0, rest: 10_000 } });
  }, 60_000);

  it('stores hostile text instead of losing its batch to it', async () => {
    const stream = room.get(AuditStream);
    stream.note(event());
    stream.note(event({ actor: { kind: 'device', id: 'a\u0000b\ud800' }, details: { 'topic\u0000': 'x\u0000\udfff', reason: `${'y'.repeat(9_000)}` } }));
    stream.note(event({ deviceId: 'not-a-uuid' }));
    await stream.flush();
    const rows = await stored();
    expect(rows).toHaveLength(3);
    expect(rows[1]!.details).toMatchObject({ 'topic\ufffd': 'x\ufffd\ufffd' });
    expect(stream.stats.dropped).toEqual({ high: 0, success: 0, rest: 0 });
  });

  it('drops and counts only the row that Postgres refuses, and lands its neighbours', async () => {
    await owner(`ALTER TABLE security_audit_logs ADD CONSTRAINT refuse CHECK (details ->> 'topic' IS DISTINCT FROM 'poison')`);
    const stream = room.get(AuditStream);
    for (const topic of ['a', 'poison', 'b']) stream.note(event({ details: { topic } }));
    await stream.flush();
    const rows = await stored();
    expect(rows.map((row) => row.details['topic']).filter(Boolean)).toEqual(['a', 'b']);
    expect(rows.filter((row) => row.event_type === 'LOG_GAP').map((row) => row.details)).toMatchObject([{ lane: 'rest', count: 1 }]);
    expect(stream.stats).toMatchObject({ queued: 0, written: 3, dropped: { rest: 1 } });
  });

  it('keeps events while Postgres is gone and writes each exactly once when it is back', async () => {
    const stream = room.get(AuditStream);
    stream.note(event({ details: { topic: 'before' } }));
    await stream.flush();
    line.cut();
    for (let i = 0; i < 1_500; i += 1) stream.note(event());
    await stream.flush();
    await stream.flush();
    expect(stream.stats).toMatchObject({ queued: 1_500, written: 1 });
    line.heal();
    const until = performance.now() + 20_000;
    while (stream.stats.queued > 0 && performance.now() < until) await new Promise((resolve) => setImmediate(resolve));
    expect(await stored()).toHaveLength(1_501);
  });

  it('does not write a batch twice whose commit was not confirmed', async () => {
    const stream = room.get(AuditStream);
    stream.note(event());
    await stream.flush();
    // As if the answer had been lost after the commit: the same ids come again.
    const { repository } = stream as unknown as { repository: { insertBatch(tenant: string, rows: object[]): Promise<void> } };
    const write = repository.insertBatch.bind(repository);
    let lost = 0;
    repository.insertBatch = async (tenant, rows) => {
      await write(tenant, rows);
      if (lost++ === 0) throw new Error('Connection terminated unexpectedly');
    };
    stream.note(event());
    await stream.flush();
    expect(stream.stats.queued).toBe(1);
    await stream.flush();
    expect(await stored()).toHaveLength(2);
  });

  it('is drained at shutdown, repeats whose minute is not over included', async () => {
    const stream = room.get(AuditStream);
    const deviceId = randomUUID();
    for (let i = 0; i < 500; i += 1) stream.note(event({ deviceId }));
    for (let i = 0; i < 500; i += 1) stream.note(event());
    await room.close();
    expect(eventsIn(await stored(), false)).toBe(1_000);
  });

  it('ends, and does not take the process with it, when Postgres is gone at shutdown', async () => {
    const stream = room.get(AuditStream);
    stream.note(event());
    await stream.flush();
    line.cut();
    stream.note(event());
    await stream.beforeApplicationShutdown();
    await stream.onApplicationShutdown();
    expect(await stored()).toHaveLength(1);
    line.heal();
  });

  it('survives a connection that is lost in the middle of a batch', async () => {
    const stream = room.get(AuditStream);
    for (let i = 0; i < 300; i += 1) stream.note(event());
    const writing = stream.flush();
    while (stream.stats.queued === 0) await new Promise((resolve) => setImmediate(resolve));
    await owner(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`);
    await writing;
    await stream.flush();
    expect(await stored()).toHaveLength(300);
  });
});

describe('the partitions', () => {
  it('take a row into its own month, and into the catch-all if there is none', async () => {
    const stream = room.get(AuditStream);
    stream.note(event());
    const now = new Date(clock.now());
    clock.set(Date.parse('2020-05-05T00:00:00Z'));
    stream.note(event());
    await stream.flush();
    const rows = await owner<{ name: string }>('SELECT tableoid::regclass::text AS name FROM security_audit_logs ORDER BY occurred_at');
    const month = now.toISOString().slice(0, 7).replace('-', '');
    expect(rows.map((row) => row.name)).toEqual(['security_audit_logs_other', `security_audit_logs_${month}`]);
  });

  it('of a month that is made late receive the rows that waited in the catch-all', async () => {
    const late = new Date(clock.now());
    late.setUTCMonth(late.getUTCMonth() + 4, 15);
    const stream = room.get(AuditStream);
    clock.set(late.getTime());
    stream.note(event());
    await stream.flush();
    const places = (): Promise<{ name: string }[]> => owner('SELECT tableoid::regclass::text AS name FROM security_audit_logs');
    expect(await places()).toEqual([{ name: 'security_audit_logs_other' }]);
    await owner('SELECT audit_prepare_months(5)');
    expect(await places()).toEqual([{ name: `security_audit_logs_${late.toISOString().slice(0, 7).replace('-', '')}` }]);
    expect(await owner('SELECT audit_prepare_months(5) AS made')).toEqual([{ made: 0 }]);
  });
});
