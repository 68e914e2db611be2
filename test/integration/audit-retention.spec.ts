import pg from 'pg';
import { pruneAudit, pruneReport } from '../../src/audit/audit-retention.js';
import { connectionFor } from '../../src/platform/database/connection.js';
import { administer, cloneDatabase, ROLE_PREFIX, type TestDatabase } from '../factories/database.js';

let database: TestDatabase;

beforeEach(async () => {
  database = await cloneDatabase();
});
afterEach(() => database.drop());

async function owner<T extends object>(sql: string, params: unknown[] = []): Promise<T[]> {
  let rows: T[] = [];
  await administer(database.url, async (client) => {
    ({ rows } = await client.query<T>(sql, params));
  });
  return rows;
}

/** `202601`, so many months before this one. */
function month(ago: number): string {
  const now = new Date();
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - ago, 1)).toISOString().slice(0, 7).replace('-', '');
}

async function makeMonth(ago: number): Promise<void> {
  const [first, next] = [month(ago), month(ago - 1)].map((name) => `${name.slice(0, 4)}-${name.slice(4)}-01T00:00:00Z`);
  await owner(`CREATE TABLE security_audit_logs_${month(ago)} PARTITION OF security_audit_logs FOR VALUES FROM ('${first}') TO ('${next}')`);
  await owner(`ALTER TABLE security_audit_logs_${month(ago)} OWNER TO ${ROLE_PREFIX}_migrator`);
  await owner(`INSERT INTO security_audit_logs (occurred_at, event_type, severity, actor_kind) VALUES ($1, 'LOG_GAP', 'HIGH', 'system')`, [first]);
}

const partitions = async () =>
  (await owner<{ name: string }>(`SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'security_audit_logs'::regclass`)).map(({ name }) => name);

describe('old months of the security log', () => {
  it('are only told, unless it is really meant', async () => {
    await makeMonth(3);
    const before = await partitions();
    const told = await pruneAudit(database.config, 3, false);
    expect(told.map(({ partition }) => partition)).toEqual([`security_audit_logs_${month(3)}`]);
    expect(await partitions()).toEqual(before);
    expect(pruneReport(told, false)).toContain('would be dropped');
    expect(await owner(`SELECT 1 FROM security_audit_logs WHERE event_type = 'AUDIT_PRUNED'`)).toEqual([]);
  });

  it('are dropped whole with a row that says so, and the newest are kept, the current one among them', async () => {
    for (const ago of [1, 2, 3, 4]) await makeMonth(ago);
    const dropped = await pruneAudit(database.config, 3, true);
    expect(dropped.map(({ partition }) => partition)).toEqual([`security_audit_logs_${month(4)}`, `security_audit_logs_${month(3)}`]);
    const left = await partitions();
    for (const kept of [month(2), month(1), month(0), 'other']) expect(left).toContain(`security_audit_logs_${kept}`);
    expect(left).not.toContain(`security_audit_logs_${month(3)}`);
    expect(await owner(`SELECT severity, details FROM security_audit_logs WHERE event_type = 'AUDIT_PRUNED'`)).toEqual([
      { severity: 'HIGH', details: { keepMonths: 3, partitions: dropped.map(({ partition }) => partition) } },
    ]);
    expect(await pruneAudit(database.config, 3, true)).toEqual([]);
  });

  it('are never all dropped', async () => {
    await expect(pruneAudit(database.config, 0, true)).rejects.toThrow('between 1 and 1200');
  });

  it.each(['app', 'gate', 'reader'] as const)('cannot be dropped by the role %s, by function or by hand', async (role) => {
    await makeMonth(3);
    const client = new pg.Client(connectionFor(database.config, role));
    await client.connect();
    try {
      await expect(client.query('SELECT * FROM audit_prune_months(1, true)')).rejects.toThrow('permission denied');
      await expect(client.query(`DROP TABLE security_audit_logs_${month(3)}`)).rejects.toThrow('must be owner');
    } finally {
      await client.end();
    }
    expect(await partitions()).toContain(`security_audit_logs_${month(3)}`);
  });
});
