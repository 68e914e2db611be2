import pg from 'pg';
import { cloneDatabase, ROLE_PREFIX, type TestDatabase } from '../factories/database.js';
import { OutageFleet } from '../factories/outage-fleet.js';
import { until } from '../factories/until.js';
import { CallbackStream } from '../fakes/callback-stream.js';
import { ServerProcess } from '../fakes/server-process.js';

const STOP_LIMIT_MS = 10_000;

describe('an orderly stop under a stream of questions', () => {
  let database: TestDatabase;
  let server: ServerProcess;

  beforeAll(async () => {
    database = await cloneDatabase();
    server = await ServerProcess.prepare(database);
    await server.start();
    await server.login();
  }, 60_000);

  afterAll(async () => {
    await server.remove();
    await database.drop();
  });

  /** Events of devices of this type, repeats that share a row included. */
  const logged = async (type: string): Promise<number> => {
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    try {
      await client.query(`SET ROLE ${ROLE_PREFIX}_reader`);
      const { rows } = await client.query<{ n: number }>(
        `SELECT coalesce(sum(coalesce((details->>'count')::int, 1)), 0)::int AS n FROM security_audit_logs
          WHERE event_type = $1 AND device_id IS NOT NULL`, [type]);
      return rows[0]?.n ?? 0;
    } finally {
      await client.end();
    }
  };

  it('answers what it has accepted, writes down all it has answered, and ends with 0', async () => {
    const fleet = await OutageFleet.register(server);
    const stream = new CallbackStream(server.ports.internal, server.secret, fleet.next);
    stream.start(6);
    await until('the stream runs', () => stream.answered > 500);
    const ordered = performance.now();
    const ended = server.stop();
    const outcome = await ended;
    const tookMs = performance.now() - ordered;
    await stream.stop();
    expect(outcome).toEqual({ code: 0, signal: null });
    expect(tookMs).toBeLessThan(STOP_LIMIT_MS);
    expect(stream.wrong).toEqual([]);
    // Busy connections were told with an answer; and nothing was judged whose answer did not arrive.
    expect(stream.endsAnnounced).toBeGreaterThan(0);
    expect(await logged('AUTH_SUCCESS')).toBe(stream.connected);
    process.stdout.write(`${stream.answered} answered, stopped in ${Math.round(tookMs)} ms, ${stream.lost} cut on the way, ${stream.connected} successes logged\n`);
  }, 60_000);
});
