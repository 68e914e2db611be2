import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import {
  Body, Controller, Delete, Get, HttpCode, HttpException, Injectable, Post, StreamableFile, type CanActivate, type ExecutionContext,
} from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import pg from 'pg';
import type { Principal } from '../../src/access/principal.js';
import { NotIdempotent } from '../../src/idempotency/idempotency.interceptor.js';
import { IdempotencyModule } from '../../src/idempotency/idempotency.module.js';
import { IdempotencyService, KEPT_MS, LOCK_MS, SECRET_KEPT_MS } from '../../src/idempotency/idempotency.service.js';
import { PlatformModule } from '../../src/platform/platform.module.js';
import { ProblemFilter } from '../../src/platform/problem/problem.filter.js';
import { MemoryStore } from '../../src/platform/redis/memory-store.js';
import { administer, cloneDatabase, type TestDatabase } from '../factories/database.js';
import { testConfig } from '../factories/room.js';
import { FakeClock } from '../fakes/fake-clock.js';

/** Counts what ran and holds it back where a test wants that. */
@Injectable()
class Works {
  runs = 0;
  gate: Promise<void> = Promise.resolve();
  failWith: Error | null = null;

  async run(): Promise<number> {
    this.runs += 1;
    const run = this.runs;
    await this.gate;
    if (this.failWith) throw this.failWith;
    return run;
  }
}

@Controller('things')
class ThingsController {
  constructor(private readonly works: Works) {}

  @Post()
  async create(@Body() body: { name?: string } = {}): Promise<object> {
    return { run: await this.works.run(), name: body.name, at: new Date(0) };
  }

  @Post('secret')
  async secret(): Promise<object> {
    return { run: await this.works.run(), client_secret: 'pcs_shown-once' };
  }

  @Post('act')
  @HttpCode(200)
  async act(): Promise<object> {
    return { run: await this.works.run() };
  }

  @Post('stream')
  async stream(): Promise<StreamableFile> {
    return new StreamableFile(Readable.from([String(await this.works.run())]));
  }

  @Post('excluded')
  @NotIdempotent()
  async excluded(): Promise<object> {
    return { run: await this.works.run() };
  }

  @Delete()
  async remove(): Promise<void> {
    await this.works.run();
  }

  @Get()
  async read(): Promise<object> {
    return { run: await this.works.run() };
  }
}

/** Stands for the guard: the caller is who the headers say. */
@Injectable()
class HeaderGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<{ headers: Record<string, string | undefined>; principal?: Partial<Principal> }>();
    const { 'x-user': id, 'x-tenant': tenantId } = request.headers;
    if (id !== undefined) request.principal = { kind: 'user', id, tenantId: tenantId ?? null };
    return true;
  }
}

let database: TestDatabase;
let app: NestFastifyApplication;
let works: Works;
let clock: FakeClock;
let tenant: string;
let other: string;

beforeAll(async () => {
  database = await cloneDatabase();
  await administer(database.url, async (client: pg.Client) => {
    const { rows } = await client.query<{ id: string }>(
      `WITH made AS (INSERT INTO tenants (slug, name) VALUES ('other', 'Other') RETURNING id)
       SELECT id FROM tenants UNION ALL SELECT id FROM made`,
    );
    [tenant, other] = rows.map((row) => row.id) as [string, string];
  });
  clock = new FakeClock(Date.now());
  const module = await Test.createTestingModule({
    imports: [
      PlatformModule.forRoot({ config: testConfig(database), entities: [], store: new MemoryStore({ clock }), clock }),
      IdempotencyModule,
    ],
    controllers: [ThingsController],
    providers: [Works, { provide: APP_GUARD, useClass: HeaderGuard }],
  }).compile();
  app = module.createNestApplication<NestFastifyApplication>(new FastifyAdapter());
  app.useGlobalFilters(new ProblemFilter('http://localhost'));
  await app.init();
  await app.getHttpAdapter().getInstance().ready();
  works = app.get(Works);
});

afterAll(async () => {
  await app.close();
  await database.drop();
});

beforeEach(() => Object.assign(works, { runs: 0, gate: Promise.resolve(), failWith: null }));

interface Sent {
  readonly key?: string | string[];
  readonly user?: string;
  readonly tenantId?: string;
  readonly body?: object;
  readonly method?: 'POST' | 'DELETE' | 'GET';
}

async function send(path: string, { key, user = 'u1', tenantId = tenant, body, method = 'POST' }: Sent) {
  const answer = await app.inject({
    method,
    url: `/things${path}`,
    headers: { ...(key === undefined ? {} : { 'idempotency-key': key }), 'x-user': user, 'x-tenant': tenantId },
    ...(body === undefined ? {} : { payload: body }),
  });
  const json = String(answer.headers['content-type']).includes('json') ? answer.json<Record<string, unknown>>() : {};
  return { status: answer.statusCode, json, text: answer.body, headers: answer.headers, replayed: answer.headers['idempotency-replayed'] === 'true' };
}

async function rowsOf(key: string): Promise<{ answer: Buffer | null }[]> {
  let found: { answer: Buffer | null }[] = [];
  await administer(database.url, async (client: pg.Client) => {
    ({ rows: found } = await client.query<{ answer: Buffer | null }>('SELECT answer FROM idempotency_keys WHERE key = $1', [key]));
  });
  return found;
}

describe('a repeated write', () => {
  it('is not run again: status and body of the first answer come back, marked', async () => {
    const key = randomUUID();
    const first = await send('', { key, body: { name: 'a' } });
    const second = await send('', { key, body: { name: 'a' } });
    expect(first).toMatchObject({ status: 201, replayed: false, json: { run: 1, name: 'a', at: '1970-01-01T00:00:00.000Z' } });
    expect(second).toMatchObject({ status: 201, replayed: true, text: first.text });
    expect(works.runs).toBe(1);
  });

  it('keeps the status of its route, and an empty answer empty', async () => {
    const key = randomUUID();
    for (const replayed of [false, true]) expect(await send('/act', { key })).toMatchObject({ status: 200, replayed });
    const gone = randomUUID();
    for (const replayed of [false, true]) expect(await send('', { key: gone, method: 'DELETE' })).toMatchObject({ status: 200, replayed, text: '' });
    expect(works.runs).toBe(2);
  });

  it('runs once when 50 arrive at the same time; the others are told to wait and then get the answer', async () => {
    const key = randomUUID();
    let open = (): void => undefined;
    works.gate = new Promise((resolve) => (open = resolve));
    const all = Array.from({ length: 50 }, () => send('', { key, body: { name: 'a' } }));
    const waiting = await Promise.race(all);
    expect(waiting).toMatchObject({ status: 409, json: { code: 'IDEMPOTENCY_IN_PROGRESS' } });
    expect(Number(waiting.headers['retry-after'])).toBeGreaterThan(0);
    open();
    const answers = await Promise.all(all);
    expect(works.runs).toBe(1);
    expect(answers.filter((answer) => answer.status === 201 && !answer.replayed)).toHaveLength(1);
    expect(answers.every((answer) => answer.status === 201 || answer.json['code'] === 'IDEMPOTENCY_IN_PROGRESS')).toBe(true);
    expect(await send('', { key, body: { name: 'a' } })).toMatchObject({ status: 201, replayed: true, json: { run: 1 } });
  });

  it.each<[string, string, Sent]>([
    ['body', '', { body: { name: 'b' } }],
    ['path', '/act', { body: { name: 'a' } }],
    ['query', '?x=1', { body: { name: 'a' } }],
    ['method', '', { method: 'DELETE', body: { name: 'a' } }],
  ])('is refused when its %s is another', async (_what, path, change) => {
    const key = randomUUID();
    await send('', { key, body: { name: 'a' } });
    expect(await send(path, { key, ...change })).toMatchObject({ status: 422, json: { code: 'IDEMPOTENCY_KEY_REUSED' } });
    expect(works.runs).toBe(1);
  });

  it.each<[string, () => Sent]>([
    ['person', () => ({ user: 'u2' })],
    ['tenant', () => ({ tenantId: other })],
  ])('of another %s is another request under the same key', async (_what, change) => {
    const key = randomUUID();
    await send('/secret', { key });
    expect(await send('/secret', { key, ...change() })).toMatchObject({ status: 201, replayed: false, json: { run: 2 } });
  });

  it('may follow a failure or a refusal: the key is free again', async () => {
    for (const error of [new Error('a bug'), new HttpException('no', 400)]) {
      const key = randomUUID();
      works.failWith = error;
      expect((await send('', { key })).status).toBeGreaterThanOrEqual(400);
      works.failWith = null;
      expect(await send('', { key })).toMatchObject({ status: 201, replayed: false });
    }
  });

  it('is run when a day is over', async () => {
    const key = randomUUID();
    await send('', { key });
    clock.advance(KEPT_MS - 1);
    expect(await send('', { key })).toMatchObject({ replayed: true });
    clock.advance(1);
    expect(await send('', { key, body: { name: 'another' } })).toMatchObject({ status: 201, replayed: false });
  });

  it('is run when the process of the first one died, once its lock has ended', async () => {
    const key = randomUUID();
    let open = (): void => undefined;
    works.gate = new Promise((resolve) => (open = resolve));
    const lost = send('', { key });
    while (works.runs === 0) await new Promise((resolve) => setImmediate(resolve));
    clock.advance(LOCK_MS - 1);
    expect(await send('', { key })).toMatchObject({ status: 409 });
    clock.advance(1);
    works.gate = Promise.resolve();
    expect(await send('', { key })).toMatchObject({ status: 201, json: { run: 2 } });
    // The late one may not put its answer in place of the one that was told.
    open();
    await lost;
    expect(await send('', { key })).toMatchObject({ replayed: true, json: { run: 2 } });
  });
});

describe('an answer with a one-time secret', () => {
  it('is told again for 10 minutes and then never', async () => {
    const key = randomUUID();
    await send('/secret', { key });
    clock.advance(SECRET_KEPT_MS - 1);
    expect(await send('/secret', { key })).toMatchObject({ replayed: true, json: { client_secret: 'pcs_shown-once' } });
    clock.advance(1);
    expect(await send('/secret', { key })).toMatchObject({ status: 409, json: { code: 'SECRET_ALREADY_SHOWN' } });
    expect(works.runs).toBe(1);
  });

  it('lies sealed in the table and is wiped when its time is over; others go after a day', async () => {
    const secret = randomUUID();
    const plain = randomUUID();
    await send('/secret', { key: secret });
    await send('', { key: plain, body: { name: 'legible' } });
    expect((await rowsOf(secret))[0]!.answer!.includes('shown-once')).toBe(false);
    expect((await rowsOf(plain))[0]!.answer!.includes('legible')).toBe(false);
    clock.advance(SECRET_KEPT_MS);
    await app.get(IdempotencyService).sweep();
    expect(await rowsOf(secret)).toEqual([{ answer: null }]);
    expect(await rowsOf(plain)).toEqual([{ answer: expect.any(Buffer) }]);
    expect(await send('/secret', { key: secret })).toMatchObject({ status: 409, json: { code: 'SECRET_ALREADY_SHOWN' } });
    clock.advance(KEPT_MS);
    await app.get(IdempotencyService).sweep();
    expect([...await rowsOf(secret), ...await rowsOf(plain)]).toEqual([]);
  });
});

describe('Idempotency-Key', () => {
  it.each([['empty', ''], ['too long', 'x'.repeat(256)], ['with a space', 'a b'], ['not ASCII', 'kéy'], ['sent twice', ['a', 'b']]])(
    'is refused when it is %s', async (_what, key) => {
      expect(await send('', { key })).toMatchObject({ status: 400, json: { code: 'IDEMPOTENCY_KEY_INVALID' } });
      expect(works.runs).toBe(0);
    });

  it('is not needed, and means nothing to reads, to excluded routes, to streams and to callers without a tenant', async () => {
    const key = randomUUID();
    for (const [path, sent] of [['', {}], ['', { key, method: 'GET' }], ['/excluded', { key }], ['/stream', { key }]] as [string, Sent][]) {
      works.runs = 0;
      await send(path, sent);
      expect(await send(path, sent)).toMatchObject({ replayed: false });
      expect(works.runs).toBe(2);
    }
    const anonymous = { method: 'POST', url: '/things', headers: { 'idempotency-key': key } } as const;
    works.runs = 0;
    await app.inject(anonymous);
    await app.inject(anonymous);
    expect(works.runs).toBe(2);
  });
});
