import pg from 'pg';
import type { RegisteredDevice } from '../factories/app.js';
import { cloneDatabase, ROLE_PREFIX, type TestDatabase } from '../factories/database.js';
import { ServerProcess } from '../fakes/server-process.js';

const KILLS = process.env['PORTCULLIS_LONG'] === '1' ? 100 : 20;
const LANES = 4;
/** The burst before a kill, at most (ms). */
const LONGEST_BURST_MS = 500;

interface Known {
  readonly device: RegisteredDevice;
  /** The state after the last change that was acknowledged; a change under way at the kill may have happened or not. */
  status: string;
  maybe: string | null;
  /** Rotations of the secret that were acknowledged, and those under way at a kill. */
  rotated: number;
  unsureRotations: number;
  /** Acknowledged changes of state. */
  changes: number;
  unsureChanges: number;
}

describe('a process that is killed at any moment', () => {
  let database: TestDatabase;
  let server: ServerProcess;
  const fleet: Known[] = [];
  const unsureSlugs: string[] = [];
  let count = 0;

  beforeAll(async () => {
    database = await cloneDatabase();
    server = await ServerProcess.prepare(database, { LOG_LEVEL: 'error' });
  });

  afterAll(async () => {
    await server.remove();
    await database.drop();
  });

  const rows = async <T extends object>(sql: string): Promise<T[]> => {
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    try {
      await client.query(`SET ROLE ${ROLE_PREFIX}_reader`);
      return (await client.query<T>(sql)).rows;
    } finally {
      await client.end();
    }
  };

  const register = async (): Promise<void> => {
    const slug = `killed-${(count += 1)}`;
    unsureSlugs.push(slug);
    const device = await server.registerDevice(slug);
    unsureSlugs.splice(unsureSlugs.indexOf(slug), 1);
    fleet.push({ device, status: device.status, maybe: null, rotated: 0, unsureRotations: 0, changes: 0, unsureChanges: 0 });
  };

  const changeState = async (known: Known): Promise<void> => {
    const [verb, to] = known.status === 'ACTIVE' ? ['suspend', 'SUSPENDED'] : ['activate', 'ACTIVE'];
    known.maybe = to ?? null;
    known.unsureChanges += 1;
    const { status, body } = await server.call<{ status: string }>('POST', `/devices/${known.device.id}/${verb}`, { reason: 'stream' });
    expect({ status, state: body.status }).toEqual({ status: 200, state: to });
    known.status = body.status;
    known.maybe = null;
    known.unsureChanges -= 1;
    known.changes += 1;
  };

  const rotate = async (known: Known): Promise<void> => {
    known.unsureRotations += 1;
    const { status, body } = await server.call('POST', `/devices/${known.device.id}/rotate-client-secret`);
    // In a long run one device comes to have as many live secrets as it may.
    const full = status === 409 && body['code'] === 'CREDENTIAL_LIMIT_REACHED';
    expect({ status, full }).toEqual({ status: full ? 409 : 200, full });
    known.unsureRotations -= 1;
    if (!full) known.rotated += 1;
  };

  /** One thing after another, each lane on devices of its own, until the connection breaks. */
  const lane = async (number: number, stopped: () => boolean): Promise<void> => {
    while (!stopped()) {
      const own = fleet.filter((_, i) => i % LANES === number);
      const known = own[Math.floor(Math.random() * own.length)];
      const dice = Math.random();
      try {
        if (!known || dice < 0.25) await register();
        else if (dice < 0.8) await changeState(known);
        else await rotate(known);
      } catch (error) {
        // A broken connection says nothing; any answer but the expected one is a failure of its own.
        if ((error as Error).message !== 'fetch failed' && (error as Error).message !== 'terminated') throw error;
        if (stopped()) return;
      }
    }
  };

  /** What was found after a restart is from then on the truth about what was under way. */
  const settle = async (): Promise<void> => {
    const found = await rows<{ id: string; slug: string; status: string }>('SELECT id, slug, status FROM devices');
    const byId = new Map(found.map((row) => [row.id, row]));
    for (const known of fleet) {
      const now = byId.get(known.device.id);
      expect({ slug: known.device.slug, there: now !== undefined }).toEqual({ slug: known.device.slug, there: true });
      expect([known.status, known.maybe]).toContain(now?.status);
      known.status = now?.status ?? '';
      known.maybe = null;
    }
    const extra = found.filter(({ id }) => !fleet.some(({ device }) => device.id === id)).map(({ slug }) => slug);
    for (const slug of extra) expect(unsureSlugs).toContain(slug);
  };

  const traces = async (): Promise<Map<string, number>> => {
    const logged = await rows<{ key: string; n: number }>(
      `SELECT device_id || ' ' || event_type AS key, count(*)::int AS n FROM security_audit_logs
        WHERE event_type IN ('DEVICE_REGISTERED', 'DEVICE_SUSPENDED', 'DEVICE_ACTIVATED', 'SECRET_ROTATED') GROUP BY 1`);
    return new Map(logged.map(({ key, n }) => [key, n]));
  };

  it(`loses no acknowledged change and no trace of it, ${KILLS} times`, async () => {
    for (let kill = 0; kill < KILLS; kill += 1) {
      await server.start();
      if (kill === 0) await server.login();
      let stopped = false;
      const lanes = Promise.all(Array.from({ length: LANES }, (_, i) => lane(i, () => stopped)));
      await new Promise((resolve) => setTimeout(resolve, 30 + Math.random() * LONGEST_BURST_MS));
      stopped = true;
      await server.kill();
      await lanes;
      await settle();
    }
    const trace = await traces();
    const of = (id: string, type: string): number => trace.get(`${id} ${type}`) ?? 0;
    for (const { device, status, changes, unsureChanges, rotated, unsureRotations } of fleet) {
      expect(of(device.id, 'DEVICE_REGISTERED')).toBe(1);
      const suspended = of(device.id, 'DEVICE_SUSPENDED');
      const activated = of(device.id, 'DEVICE_ACTIVATED');
      // States alternate, so the state found says exactly by how many the two kinds of traces differ.
      expect(suspended - activated).toBe(status === 'SUSPENDED' ? 1 : 0);
      expect(suspended + activated).toBeGreaterThanOrEqual(changes);
      expect(suspended + activated).toBeLessThanOrEqual(changes + unsureChanges);
      expect(of(device.id, 'SECRET_ROTATED')).toBeGreaterThanOrEqual(rotated);
      expect(of(device.id, 'SECRET_ROTATED')).toBeLessThanOrEqual(rotated + unsureRotations);
    }
    // The other way round: each thing that stands in a table has its trace, whoever was told of it or not.
    const devices = await rows<{ id: string }>('SELECT id FROM devices');
    for (const { id } of devices) expect({ id, traces: of(id, 'DEVICE_REGISTERED') }).toEqual({ id, traces: 1 });
    const secrets = await rows<{ id: string; n: number }>(
      `SELECT device_id AS id, count(*)::int AS n FROM credentials WHERE kind = 'secret' AND device_id IS NOT NULL GROUP BY 1`);
    for (const { id, n } of secrets) expect({ id, secrets: n }).toEqual({ id, secrets: 1 + of(id, 'SECRET_ROTATED') });
    const acknowledged = fleet.reduce((sum, { changes, rotated }) => sum + 1 + changes + rotated, 0);
    process.stdout.write(`${KILLS} kills, ${fleet.length} devices, ${acknowledged} acknowledged changes, none lost, none without a trace\n`);
    expect(acknowledged).toBeGreaterThan(KILLS);
  }, KILLS * 20_000);
});
