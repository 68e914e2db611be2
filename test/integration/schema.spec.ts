import pg from 'pg';
import { MIGRATIONS } from '../../src/migrations/migrations.js';
import { connectionFor } from '../../src/platform/database/connection.js';
import { InstanceLock } from '../../src/platform/database/instance-lock.js';
import { migrate, revertAll } from '../../src/platform/database/migrate.js';
import { administer, cloneDatabase, ROLE_PREFIX, type TestDatabase } from '../factories/database.js';

async function as<T extends object>(database: TestDatabase, role: 'app' | 'gate' | 'reader' | 'migrator', sql: string, params: unknown[] = []): Promise<T[]> {
  const client = new pg.Client(connectionFor(database.config, role));
  await client.connect();
  try {
    return (await client.query<T>(sql, params)).rows;
  } finally {
    await client.end();
  }
}

const OUR_TABLES = `SELECT c.relname AS name, c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'schema_migrations'`;

describe('the schema', () => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await cloneDatabase();
  });

  afterAll(() => database.drop());

  it('goes down to nothing and up again from zero', async () => {
    const own = await cloneDatabase();
    await revertAll(own.config, MIGRATIONS);
    expect(await as(own, 'migrator', OUR_TABLES)).toEqual([]);
    const leftovers = await as(own, 'migrator', `SELECT proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'public'`);
    expect(leftovers).toEqual([]);
    expect(await migrate(own.config, MIGRATIONS)).toHaveLength(MIGRATIONS.length);
    expect((await as(own, 'migrator', OUR_TABLES)).length).toBeGreaterThan(10);
    await own.drop();
  });

  it('is migrated once by two that start together', async () => {
    const own = await cloneDatabase('template0');
    const done = await Promise.all([migrate(own.config, MIGRATIONS), migrate(own.config, MIGRATIONS)]);
    expect(done.map((names) => names.length).sort((a, b) => a - b)).toEqual([0, MIGRATIONS.length]);
    await own.drop();
  });

  it('has row security enabled and forced on every table of ours', async () => {
    const tables = await as<{ name: string; enabled: boolean; forced: boolean }>(database, 'migrator', OUR_TABLES);
    expect(tables.filter(({ enabled, forced }) => !enabled || !forced)).toEqual([]);
  });

  it('shows the app nothing that belongs to a tenant when no tenant is set', async () => {
    const tables = await as<{ name: string }>(
      database,
      'migrator',
      `SELECT table_name AS name FROM information_schema.columns WHERE table_schema = 'public' AND column_name = 'tenant_id'
         AND table_name NOT LIKE 'security_audit_logs_%' AND table_name <> 'subject_facts'`,
    );
    expect(tables.length).toBeGreaterThan(8);
    for (const { name } of tables) expect(await as(database, 'app', `SELECT 1 FROM ${name}`)).toEqual([]);
    for (const name of ['users', 'tenants', 'subject_facts']) expect(await as(database, 'app', `SELECT 1 FROM ${name}`)).toEqual([]);
  });

  it('lets the gate and the reader write nothing', async () => {
    const writable = await as(
      database,
      'migrator',
      `SELECT grantee, table_name, privilege_type FROM information_schema.role_table_grants
        WHERE grantee IN ($1, $2) AND privilege_type <> 'SELECT'`,
      [`${ROLE_PREFIX}_gate`, `${ROLE_PREFIX}_reader`],
    );
    expect(writable).toEqual([]);
  });

  it('never shows the gate a password hash, a session or a private key', async () => {
    for (const sql of ['SELECT password_hash FROM users', 'SELECT * FROM sessions', 'SELECT private_sealed FROM signing_keys']) {
      await expect(as(database, 'gate', sql)).rejects.toThrow(/permission denied/);
    }
    await expect(as(database, 'reader', 'SELECT password_hash FROM users')).rejects.toThrow(/permission denied/);
  });

  it('lets the app only insert and read the security log', async () => {
    for (const sql of ['UPDATE security_audit_logs SET severity = \'INFO\'', 'DELETE FROM security_audit_logs', 'TRUNCATE security_audit_logs']) {
      await expect(as(database, 'app', sql)).rejects.toThrow(/permission denied/);
    }
  });
});

describe('two instances on one database', () => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await cloneDatabase();
  });

  afterAll(() => database.drop());

  it('are refused unless both share a store', async () => {
    const alone = await InstanceLock.take(database.config, false);
    await expect(InstanceLock.take(database.config, false)).rejects.toThrow(/REDIS_URL/);
    await expect(InstanceLock.take(database.config, true)).rejects.toThrow(/REDIS_URL/);
    await alone.release();
    const first = await InstanceLock.take(database.config, true);
    const second = await InstanceLock.take(database.config, true);
    await expect(InstanceLock.take(database.config, false)).rejects.toThrow(/REDIS_URL/);
    await Promise.all([first.release(), second.release()]);
  });

  it('survive that Postgres drops the connection of the lock', async () => {
    const lock = await InstanceLock.take(database.config, false);
    await administer(database.url, (client) => client.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`));
    await lock.release();
    const next = await InstanceLock.take(database.config, false);
    await next.release();
  });
});
