import pg from 'pg';
import { DataSource, type DataSourceOptions } from 'typeorm';
import type { Config } from '../config/config.js';
import { connectionFor, ownerConnection } from './connection.js';
import { ensureRoles, roleNames, rolePrefix } from './roles.js';

const OLDEST_POSTGRES = 150_000;
/** Any two migrators of one database meet at this advisory lock. */
const MIGRATION_LOCK = 0x706f7274;

type MigrationClass = new () => object;
type PostgresSsl = Extract<DataSourceOptions, { type: 'postgres' }>['ssl'];

/**
 * Brings a database to the newest schema: checks the server's version, creates the roles (single-URL installations) and runs what
 * is missing, one migrator at a time.
 * @returns names of the migrations that ran now.
 */
export async function migrate(database: Config['database'], migrations: readonly MigrationClass[]): Promise<string[]> {
  await prepareServer(database);
  return withMigrator(database, migrations, async (source) => {
    const done = await source.runMigrations({ transaction: 'each' });
    return done.map((migration) => migration.name);
  });
}

/** Takes back every migration, newest first. For tests and for `portcullis migrate --revert-all` on an empty installation. */
export async function revertAll(database: Config['database'], migrations: readonly MigrationClass[]): Promise<void> {
  await withMigrator(database, migrations, async (source) => {
    for (let i = 0; i < migrations.length; i += 1) await source.undoLastMigration({ transaction: 'each' });
  });
}

async function prepareServer(database: Config['database']): Promise<void> {
  const client = new pg.Client(database.migratorUrl ? connectionFor(database, 'migrator') : ownerConnection(database));
  await client.connect();
  try {
    const { rows } = await client.query<{ version: string }>(`SELECT current_setting('server_version_num') AS version`);
    const version = Number(rows[0]?.version);
    if (version < OLDEST_POSTGRES) {
      throw new Error(`Postgres ${Math.floor(version / 10_000)} is too old: Portcullis needs Postgres 15 or newer.`);
    }
    if (database.migratorUrl) return;
    // Two that start together would grant the same thing at once, which Postgres refuses one of them. The lock ends with the connection.
    await client.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
    await ensureRoles(client, roleNames(rolePrefix(database)), version);
  } finally {
    await client.end();
  }
}

async function withMigrator<T>(
  database: Config['database'],
  migrations: readonly MigrationClass[],
  work: (source: DataSource) => Promise<T>,
): Promise<T> {
  const { connectionString, options, ssl, application_name: applicationName } = connectionFor(database, 'migrator');
  const lock = new pg.Client(connectionFor(database, 'migrator'));
  const source = new DataSource({
    type: 'postgres',
    url: connectionString,
    ssl: ssl as PostgresSsl,
    applicationName,
    migrations: [...migrations],
    migrationsTableName: 'schema_migrations',
    installExtensions: false,
    extra: { max: 1, options },
  });
  await lock.connect();
  try {
    await lock.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
    await source.initialize();
    return await work(source);
  } finally {
    if (source.isInitialized) await source.destroy();
    await lock.end();
  }
}
