import { randomUUID } from 'node:crypto';
import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import pg from 'pg';
import { Permission } from '../../src/access/permission.js';
import type { Principal } from '../../src/access/principal.js';
import type { AuditEvent } from '../../src/audit/audit-event.js';
import { AuditModule } from '../../src/audit/audit.module.js';
import { AuditService } from '../../src/audit/audit.service.js';
import { withRequestContext } from '../../src/platform/context/request-context.js';
import { Pools } from '../../src/platform/database/pools.js';
import { Transactions } from '../../src/platform/database/transactions.js';
import { validationPipe } from '../../src/platform/http/validation.js';
import { PlatformModule } from '../../src/platform/platform.module.js';
import { ProblemFilter } from '../../src/platform/problem/problem.filter.js';
import { MemoryStore } from '../../src/platform/redis/memory-store.js';
import { administer, cloneDatabase, type TestDatabase } from '../factories/database.js';
import { testConfig } from '../factories/room.js';
import { FakeClock } from '../fakes/fake-clock.js';

/** Stands for the guard: a person of the tenant in the header, with the platform's right to read if asked. */
@Injectable()
class HeaderGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<{ headers: Record<string, string | undefined>; principal?: Partial<Principal> }>();
    const permissions = new Set(request.headers['x-platform'] ? [Permission.PlatformAuditRead] : []);
    request.principal = { kind: 'user', id: PERSON, tenantId: request.headers['x-tenant'] ?? null, permissions };
    return true;
  }
}

const PERSON = randomUUID();
const DEVICE = randomUUID();

let database: TestDatabase;
let app: NestFastifyApplication;
let clock: FakeClock;
let tenant: string;
let other: string;

beforeEach(async () => {
  database = await cloneDatabase();
  const tenants = await owner<{ id: string }>(
    `WITH made AS (INSERT INTO tenants (slug, name) VALUES ('other', 'Other') RETURNING id)
     SELECT id FROM tenants UNION ALL SELECT id FROM made`,
  );
  [tenant, other] = tenants.map((row) => row.id) as [string, string];
  clock = new FakeClock(Date.parse('2026-04-01T00:00:00.000Z'));
  const module = await Test.createTestingModule({
    imports: [
      PlatformModule.forRoot({ config: testConfig(database), entities: [], store: new MemoryStore({ clock }), clock }),
      AuditModule,
    ],
    providers: [{ provide: APP_GUARD, useClass: HeaderGuard }],
  }).compile();
  app = module.createNestApplication<NestFastifyApplication>(new FastifyAdapter());
  app.useGlobalPipes(validationPipe());
  app.useGlobalFilters(new ProblemFilter('http://localhost'));
  await app.init();
  await app.getHttpAdapter().getInstance().ready();
});

afterEach(async () => {
  await app.close();
  await database.drop();
});

async function owner<T extends object>(sql: string, params: unknown[] = []): Promise<T[]> {
  let rows: T[] = [];
  await administer(database.url, async (client: pg.Client) => {
    ({ rows } = await client.query<T>(sql, params));
  });
  return rows;
}

function record(event: Partial<AuditEvent> = {}, scope = event.tenantId === undefined ? tenant : event.tenantId): Promise<void> {
  const whole: AuditEvent = { type: 'DEVICE_REGISTERED', tenantId: tenant, deviceId: DEVICE, actor: { kind: 'user', id: PERSON }, ...event };
  return app.get(Transactions).run({ tenantId: scope }, (tx) => app.get(AuditService).record(tx, whole));
}

interface Entry {
  id: string;
  eventType: string;
  details: Record<string, unknown>;
}

async function get(query: string, headers: Record<string, string> = {}) {
  const answer = await app.inject({ method: 'GET', url: `/audit/logs${query}`, headers: { 'x-tenant': tenant, ...headers } });
  return { status: answer.statusCode, headers: answer.headers, text: answer.body, json: (): Record<string, unknown> => answer.json() };
}

async function list(query = '', headers: Record<string, string> = {}): Promise<{ items: Entry[]; nextCursor: string | null }> {
  const answer = await get(query, headers);
  expect(answer.status).toBe(200);
  return answer.json() as unknown as { items: Entry[]; nextCursor: string | null };
}

describe('AuditService.record', () => {
  it('fills in severity, account, address and request id, and shows the row as people read it', async () => {
    await withRequestContext({ requestId: 'r-1', ip: '192.0.2.9' }, () => record({ type: 'DEVICE_SUSPENDED', details: { reason: 'lost', again: 2 } }));
    expect((await list()).items).toEqual([{
      id: expect.stringMatching(/^[0-9a-f-]{36}$/), occurredAt: '2026-04-01T00:00:00.000Z', eventType: 'DEVICE_SUSPENDED', severity: 'HIGH',
      deviceId: DEVICE, userId: PERSON, actor: { kind: 'user', id: PERSON }, ip: '192.0.2.9', requestId: 'r-1', details: { reason: 'lost', again: 2 },
    }]);
  });

  it('is undone with the change that it traces', async () => {
    await expect(app.get(Transactions).run({ tenantId: tenant }, async (tx) => {
      await app.get(AuditService).record(tx, { type: 'DEVICE_REGISTERED', tenantId: tenant, actor: { kind: 'system', id: null } });
      throw new Error('the change failed');
    })).rejects.toThrow('the change failed');
    expect(await owner('SELECT 1 FROM security_audit_logs')).toEqual([]);
  });

  it('is refused for another tenant than the transaction\'s', async () => {
    await expect(record({ tenantId: other }, tenant)).rejects.toThrow(/row-level security/);
    await expect(record({ tenantId: tenant }, null)).rejects.toThrow(/row-level security/);
  });

  it('stores whatever it is given', async () => {
    const cyclic: Record<string, unknown> = { nul: 'a\u0000b', half: '\ud800', big: 2n ** 70n, client_secret: 'pcs_x' };
    cyclic['self'] = cyclic;
    await record({ details: cyclic, deviceId: 'no uuid', actor: { kind: 'user', id: '\u0000'.repeat(10_000) } });
    expect((await list()).items[0]).toMatchObject({
      deviceId: null, details: { nul: 'a\ufffdb', half: '\ufffd', self: '[circular]', client_secret: '[redacted]', misfit: { deviceId: 'no uuid' } },
    });
  });
});

describe('the app role', () => {
  it.each([
    `UPDATE security_audit_logs SET severity = 'INFO'`,
    'DELETE FROM security_audit_logs',
    'TRUNCATE security_audit_logs',
    'SELECT * FROM security_audit_logs_other',
    'INSERT INTO security_audit_logs_other SELECT * FROM security_audit_logs',
    'DROP TABLE security_audit_logs_other',
    'ALTER TABLE security_audit_logs DISABLE ROW LEVEL SECURITY',
    'CREATE TABLE security_audit_logs_209901 (id uuid)',
    'SELECT audit_prepare_months(1000)',
  ])('may not: %s', async (sql) => {
    await record();
    await expect(app.get(Pools).app.query(sql)).rejects.toThrow(/permission denied|must be owner|between 0 and 24/);
    await expect(app.get(Pools).reader.query(sql)).rejects.toThrow(/permission denied|must be owner/);
    expect(await owner('SELECT severity FROM security_audit_logs')).toEqual([{ severity: 'INFO' }]);
  });
});

describe('GET /audit/logs', () => {
  it('shows a tenant its own rows only', async () => {
    await record();
    await record({ tenantId: other });
    await record({ tenantId: null });
    expect((await list()).items).toHaveLength(1);
    expect((await list('', { 'x-tenant': other })).items).toHaveLength(1);
  });

  it('shows rows of nobody to the platform plane, and never those of another tenant', async () => {
    await record({ details: { whose: 'mine' } });
    await record({ tenantId: other, details: { whose: 'theirs' } });
    clock.advance(1);
    await record({ tenantId: null, details: { whose: 'nobody' } });
    const seen = (await list('', { 'x-platform': '1' })).items.map((item) => item.details['whose']);
    expect(seen).toEqual(['nobody', 'mine']);
  });

  it.each([[''], ['1']])('pages newest first without gaps or repeats while rows are added (platform plane: "%s")', async (platform) => {
    const headers: Record<string, string> = platform ? { 'x-platform': platform } : {};
    for (let n = 0; n < 12; n += 1) {
      if (n % 3 === 0) clock.advance(1);
      await record({ details: { n }, ...(platform && n % 2 ? { tenantId: null } : {}) });
    }
    const seen: unknown[] = [];
    let cursor = '';
    for (;;) {
      const page = await list(`?limit=5${cursor}`, headers);
      seen.push(...page.items.map((item) => item.details['n']));
      if (page.nextCursor === null) break;
      clock.advance(1);
      await record({ details: { n: 'later' } });
      cursor = `&cursor=${page.nextCursor}`;
    }
    expect(seen).toEqual(Array.from({ length: 12 }, (_, i) => 11 - i));
  });

  it.each<[string, string, string[]]>([
    ['one type', '?eventType=CERT_ISSUED', ['c']],
    ['several types', '?eventType=CERT_ISSUED,ACCESS_DENIED', ['d', 'c']],
    ['severity', '?severity=WARNING', ['d']],
    ['several severities', '?severity=WARNING,HIGH', ['d', 'b']],
    ['device', `?deviceId=${DEVICE.toUpperCase()}`, ['c', 'b', 'a']],
    ['account', `?userId=${PERSON}`, ['c', 'b', 'a']],
    ['from', '?from=2026-04-01T02:00:00Z', ['d', 'c']],
    ['to', '?to=2026-04-01T02:00:00Z', ['b', 'a']],
    ['from and to with an offset', '?from=2026-04-01T02:00:00%2B01:00&to=2026-04-01T03:00:00%2B01:00', ['b']],
    ['a day', '?from=2026-04-01&to=2026-04-02', ['d', 'c', 'b', 'a']],
    ['a time without offset as UTC', '?to=2026-04-01T01:00:00', ['a']],
    ['text of the details', '?q=50%25_Off', ['b']],
    ['text of the address', '?q=2001:DB8', ['d']],
    ['text of nothing', '?q=x50%25', []],
    ['all together', `?q=mark&severity=INFO&deviceId=${DEVICE}&eventType=DEVICE_REGISTERED&from=2026-01-01&to=2027-01-01`, ['a']],
  ])('filters by %s', async (_what, query, expected) => {
    await record({ details: { mark: 'a' } });
    clock.advance(3_600_000);
    await record({ type: 'DEVICE_SUSPENDED', details: { mark: 'b', text: '50%_off' } });
    clock.advance(3_600_000);
    await record({ type: 'CERT_ISSUED', details: { mark: 'c' } });
    clock.advance(3_600_000);
    await record({ type: 'ACCESS_DENIED', deviceId: null, actor: { kind: 'anonymous', id: null }, ip: '2001:db8::1', details: { mark: 'd' } });
    for (const headers of [{}, { 'x-platform': '1' }] as Record<string, string>[]) {
      expect((await list(query, headers)).items.map((item) => item.details['mark'])).toEqual(expected);
    }
  });

  it.each([
    '?eventType=NO_SUCH', '?eventType=', '?eventType=AUTH_FAILURE,', '?eventType=AUTH_FAILURE&eventType=AUTH_SUCCESS', '?severity=LOW',
    '?deviceId=1', '?from=yesterday', '?from=2026-13-01', '?to=2026-04-01T25:00:00Z', '?to=2026-W14', '?limit=0', '?limit=201', '?unknown=1',
    `?q=${'x'.repeat(129)}`, '?q=%00',
  ])('refuses %s and says which field', async (query) => {
    const answer = await get(query);
    expect(answer.status).toBe(400);
    const field = /\?(\w+)/.exec(query)![1];
    expect(answer.json()).toMatchObject({ code: 'VALIDATION_FAILED', errors: expect.arrayContaining([expect.objectContaining({ path: field })]) });
  });

  it.each(['1000-01-01', '9999-12-31T23:59:59Z'])('takes %s for a time like any other', async (time) => {
    await record();
    expect((await get(`?from=${time}`)).status).toBe(200);
    expect((await get(`?to=${time}`, { 'x-platform': '1' })).status).toBe(200);
  });
});

describe('GET /audit/logs/export', () => {
  const COUNT = 1_234;

  async function fill(count = COUNT, text = ''): Promise<void> {
    await owner(
      `INSERT INTO security_audit_logs (tenant_id, occurred_at, event_type, severity, actor_kind, details)
       SELECT $1, timestamptz '2026-03-31' + n / 7 * interval '1 microsecond', 'AUTH_SUCCESS', 'INFO', 'device', jsonb_build_object('n', n, 'text', $2::text)
         FROM generate_series(1, ${count}) AS n`,
      [tenant, text],
    );
  }

  it('tells every entry once as a line, newest first, and records itself', async () => {
    await fill();
    const answer = await get('/export?eventType=AUTH_SUCCESS');
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toBe('application/x-ndjson');
    const lines = answer.text.trimEnd().split('\n').map((line) => JSON.parse(line) as Entry);
    expect(lines).toHaveLength(COUNT);
    expect(new Set(lines.map((line) => line.details['n'])).size).toBe(COUNT);
    const groups = lines.map((line) => Math.floor(Number(line.details['n']) / 7));
    expect([...groups].sort((a, b) => b - a)).toEqual(groups);
    expect((await list('?eventType=AUDIT_EXPORTED')).items).toMatchObject([
      { actor: { kind: 'user', id: PERSON }, details: { filter: { eventType: 'AUTH_SUCCESS' } } },
    ]);
  });

  it('knows no pages', async () => {
    expect((await get('/export?limit=1')).status).toBe(400);
  });

  it('reads no further than the client does, and stops when the client goes away', async () => {
    const batches = 60;
    await fill(batches * 500, 'x'.repeat(1_000));
    await app.listen(0, '127.0.0.1');
    const { reader } = app.get(Pools);
    const read = jest.spyOn(reader, 'query');
    const leaving = new AbortController();
    const answer = await fetch(`${await app.getUrl()}/audit/logs/export`, {
      headers: { 'x-tenant': tenant, 'x-platform': '1' }, signal: leaving.signal,
    });
    const body = answer.body!.getReader();
    await body.read();
    leaving.abort();
    await expect(body.read()).rejects.toThrow();
    await app.close();
    expect(read.mock.calls.length).toBeLessThan(batches / 2);
  });

  it('is an empty answer, not an error, when nothing fits', async () => {
    expect(await get('/export?eventType=CA_CREATED')).toMatchObject({ status: 200, text: '' });
  });
});
