import { DataSource, type DataSourceOptions } from 'typeorm';
import type { Config } from '../config/config.js';
import { connectionFor } from './connection.js';

type PostgresOptions = Extract<DataSourceOptions, { type: 'postgres' }>;
export type EntityClass = new () => object;

const STATEMENT_TIMEOUT_MS = 15_000;

/** Few: only people of the platform plane who look into tenants need them. */
const READER_CONNECTIONS = 2;

/** TypeORM over the app role: entities, CRUD and transactions of the REST side. It never changes the schema. */
export function appDataSource(database: Config['database'], entities: readonly EntityClass[]): DataSource {
  return dataSource(database, 'app', database.poolSize, entities);
}

/** The same over the role that can only read. Connects when it is first needed. */
export class ReaderSource {
  private opening: Promise<DataSource> | undefined;

  constructor(private readonly make: () => Promise<DataSource>) {}

  static over(database: Config['database'], entities: readonly EntityClass[]): ReaderSource {
    return new ReaderSource(() => dataSource(database, 'reader', READER_CONNECTIONS, entities).initialize());
  }

  get(): Promise<DataSource> {
    this.opening ??= this.make().catch((error: unknown) => {
      this.opening = undefined;
      throw error;
    });
    return this.opening;
  }

  async close(): Promise<void> {
    await (await this.opening)?.destroy();
  }
}

function dataSource(database: Config['database'], role: 'app' | 'reader', max: number, entities: readonly EntityClass[]): DataSource {
  const { connectionString, options, ssl, application_name: applicationName } = connectionFor(database, role);
  return new DataSource({
    type: 'postgres',
    url: connectionString,
    ssl: ssl as PostgresOptions['ssl'],
    applicationName,
    entities: [...entities],
    synchronize: false,
    installExtensions: false,
    extra: {
      max,
      options,
      // A person waits for a free connection rather than being told to come back.
      connectionTimeoutMillis: 10_000,
      statement_timeout: STATEMENT_TIMEOUT_MS,
      query_timeout: STATEMENT_TIMEOUT_MS + 500,
      keepAlive: true,
    },
  });
}
