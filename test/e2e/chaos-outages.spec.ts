import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { request, type RegisteredDevice } from '../factories/app.js';
import { administer, cloneDatabase, type TestDatabase } from '../factories/database.js';
import { OutageFleet } from '../factories/outage-fleet.js';
import { until } from '../factories/until.js';
import { BROKER_PATIENCE_MS, CallbackStream } from '../fakes/callback-stream.js';
import { FlakyProxy } from '../fakes/flaky-proxy.js';
import { ROOT } from '../fakes/installation.js';
import { PrivateRedis } from '../fakes/private-redis.js';
import { ServerProcess } from '../fakes/server-process.js';

const HAS_REDIS = (process.env['TEST_REDIS_URL'] ?? '') !== '';
const STALE_MS = 8_000;
const FRESH_MS = STALE_MS / 2;
/** A leak would not fit: with it the process dies, and the test says so. */
const HEAP_MIB = 160;

/** The rows of the page that operators read, by their first column. */
function tableOf(page: string): Map<string, string[]> {
  const lines = readFileSync(path.join(ROOT, 'docs', page), 'utf8').split('\n');
  const start = lines.findIndex((line) => line.startsWith('| State |'));
  const rows = new Map<string, string[]>();
  for (const line of lines.slice(start + 2)) {
    if (!line.startsWith('|')) break;
    const [state = '', ...cells] = line.split('|').slice(1, -1).map((cell) => cell.trim());
    rows.set(state, cells);
  }
  return rows;
}

(HAS_REDIS ? describe : describe.skip)('under a stream of questions', () => {
  const table = tableOf('failure-modes.md');
  const held = new Set<string>();
  let database: TestDatabase;
  let redis: PrivateRedis;
  let postgres: FlakyProxy;
  let server: ServerProcess;
  let fleet: OutageFleet;
  let stream: CallbackStream;

  beforeAll(async () => {
    database = await cloneDatabase();
    redis = await PrivateRedis.start();
    postgres = await FlakyProxy.before(database.url);
    server = await ServerProcess.prepare({ ...database, url: postgres.route(database.url) }, {
      REDIS_URL: redis.url,
      STALE_FACTS_MAX: String(STALE_MS / 1000),
      NODE_OPTIONS: `--max-old-space-size=${HEAP_MIB}`,
    });
    await server.start();
    await server.login();
    fleet = await OutageFleet.register(server);
    stream = new CallbackStream(server.ports.internal, server.secret, fleet.next);
    stream.start(6);
  }, 60_000);

  afterAll(async () => {
    postgres.heal();
    await stream.stop();
    await server.remove();
    await postgres.close();
    await redis.kill();
    await database.drop();
  });

  /** Nothing wrong was answered so far, in time, and the process is the same. */
  afterEach(() => {
    postgres.heal();
    expect(stream.wrong.slice(0, 5)).toEqual([]);
    expect({ running: server.running, said: server.running ? '' : server.output }).toEqual({ running: true, said: '' });
    expect(stream.slowestMs).toBeLessThan(BROKER_PATIENCE_MS);
    expect(stream.lost + stream.turnedAway).toBe(0);
  });

  const verdict = async (door: 'mqtt-auth' | 'mqtt-acl', body: Record<string, string>): Promise<string> => (await server.ask(door, body)).body.result;
  const connect = (device: RegisteredDevice): Promise<string> => verdict('mqtt-auth', fleet.connect(device));
  const ready = async (): Promise<number> => (await request(`http://127.0.0.1:${server.ports.internal}/health/ready`, 'GET', {})).status;
  const take = (devices: RegisteredDevice[]): RegisteredDevice => {
    const device = devices.shift();
    if (!device) throw new Error('the fleet is used up');
    return device;
  };
  const sleepUntil = (at: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, Math.max(0, at - Date.now())));

  interface Lately {
    readonly active: RegisteredDevice;
    readonly pending: RegisteredDevice;
    /** Before this Postgres had confirmed both. */
    readonly at: number;
  }

  /** A device of either state that Postgres has confirmed this moment. */
  const askLately = async (): Promise<Lately> => {
    const lately = { active: take(fleet.cold), pending: take(fleet.coldPending) };
    expect([await connect(lately.active), await connect(lately.pending)]).toEqual(['allow', 'allow']);
    expect(await verdict('mqtt-acl', fleet.topic(lately.active))).toBe('allow');
    return { ...lately, at: Date.now() };
  };

  /** What the page promises for this state is what is answered. REST is asked last: it may take its time. */
  const holdRow = async (state: string, { active, pending }: Lately): Promise<void> => {
    const answers = await Promise.all([
      connect(active),
      connect(take(fleet.cold)),
      verdict('mqtt-auth', fleet.connect(active, undefined, randomUUID())),
      connect(pending),
      connect(fleet.suspended),
      verdict('mqtt-acl', fleet.topic(active)),
      server.call('GET', '/devices?limit=1').then(({ status }) => String(status)),
      ready().then(String),
    ]);
    const promised = (table.get(state) ?? []).map((cell, i) => (cell.split(' or ').includes(answers[i] ?? '') ? answers[i] : cell));
    expect({ state, answers }).toEqual({ state, answers: promised });
    held.add(state);
  };

  const recovered = async (): Promise<void> => {
    await until('it is ready again', async () => (await ready()) === 200, 20_000);
    await until('who was not asked about is let in', async () => (await connect(fleet.cold[0] as RegisteredDevice)) === 'allow', 10_000);
    fleet.cold.shift();
    const answered = stream.answered;
    await until('the stream runs', () => stream.answered > answered + 50);
  };

  it('answers as the page says when all is well', async () => {
    await holdRow('All is well', await askLately());
    expect(stream.allowed).toBeGreaterThan(0);
  });

  it('goes on without Redis', async () => {
    await redis.kill();
    const lately = await askLately();
    await holdRow('Redis is gone', lately);
    const changed = take(fleet.cold);
    expect(await connect(changed)).toBe('allow');
    await server.call('POST', `/devices/${changed.id}/suspend`, { reason: 'without Redis' });
    expect(await connect(changed)).toBe('deny');
    await redis.restart();
    await recovered();
    expect(await connect(changed)).toBe('deny');
  });

  it('goes on with a Redis that is full, and a suspension holds', async () => {
    await redis.fill();
    const lately = await askLately();
    await holdRow('Redis is full', lately);
    const changed = fleet.warm.at(-1) as RegisteredDevice;
    const { status } = await server.call('POST', `/devices/${changed.id}/suspend`, { reason: 'Redis is full' });
    expect(status).toBe(200);
    fleet.forbid(changed);
    expect(await connect(changed)).toBe('deny');
    await redis.empty();
    await recovered();
  });

  it('serves ACTIVE devices without Postgres for as long as it says, and nobody else', async () => {
    const changed = fleet.warm.at(-2) as RegisteredDevice;
    await server.call('POST', `/devices/${changed.id}/suspend`, { reason: 'just before the outage' });
    fleet.forbid(changed);
    const lately = await askLately();
    postgres.cut();
    await holdRow('Postgres is gone, facts are fresh', lately);
    await sleepUntil(lately.at + FRESH_MS);
    await holdRow('Postgres is gone, facts are stale', lately);
    const { body } = await server.ask('mqtt-auth', fleet.connect(lately.active));
    expect(body.expire_at).toBeLessThanOrEqual(Math.ceil(Date.now() / 1000) + 300);
    expect(await connect(changed)).toBe('deny');
    await sleepUntil(lately.at + STALE_MS);
    await holdRow('Postgres is gone for longer than `STALE_FACTS_MAX`', lately);
    postgres.heal();
    await recovered();
  }, 60_000);

  it('takes a slow Postgres for a lost one, within the patience of a broker', async () => {
    const lately = await askLately();
    postgres.slow(2_000);
    await holdRow('Postgres takes 2 s for each answer', lately);
    postgres.heal();
    await recovered();
  }, 60_000);

  it('survives that Postgres ends all its connections', async () => {
    for (let i = 0; i < 5; i += 1) {
      await administer(database.url, (client) =>
        client.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()'));
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await recovered();
  });

  it('survives a Postgres that accepts and says nothing', async () => {
    postgres.freeze();
    const answered = stream.answered;
    await until('questions are answered', () => stream.answered > answered + 20, 20_000);
    await sleepUntil(Date.now() + FRESH_MS);
    postgres.heal();
    await recovered();
  }, 60_000);

  it('refuses everybody without both', async () => {
    const lately = await askLately();
    postgres.cut();
    await redis.kill();
    await until('it knows', async () => (await connect(lately.active)) === 'deny');
    await holdRow('Redis and Postgres are gone', lately);
    postgres.heal();
    await redis.restart();
    await recovered();
    await holdRow('All is well again', await askLately());
  }, 60_000);

  it('has answered every question of the stream, and held every row of the page', async () => {
    await stream.stop();
    process.stdout.write(`${stream.answered} questions answered, ${stream.allowed} allowed, slowest ${Math.round(stream.slowestMs)} ms\n`);
    expect([...table.keys()].filter((state) => !held.has(state))).toEqual([]);
    expect(await server.metric('portcullis_nodejs_heap_size_used_bytes')).toBeLessThan(HEAP_MIB * 1024 * 1024);
    const { code } = await server.stop();
    expect(code).toBe(0);
    await server.start();
  }, 60_000);
});
