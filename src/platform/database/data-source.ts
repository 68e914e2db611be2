import { DataSource, type DataSourceOptions } from 'typeorm';
import type { Config } from '../config/config.js';
import { connectionFor } from './connection.js';

type PostgresOptions = Extract<DataSourceOptions, { type: 'postgres' }>;
export type EntityClass = new () => object;

const STATEMENT_TIMEOUT_MS = 15_000;

/** TypeORM over the app role: entities, CRUD and transactions of the REST side. It never changes the schema. */
export function appDataSource(database: Config['database'], entities: readonly EntityClass[]): DataSource {
  const { connectionString, options, ssl, application_name: applicationName } = connectionFor(database, 'app');
  return new DataSource({
    type: 'postgres',
    url: connectionString,
    ssl: ssl as PostgresOptions['ssl'],
    applicationName,
    entities: [...entities],
    synchronize: false,
    installExtensions: false,
    extra: {
      max: database.poolSize,
      options,
      // A person waits for a free connection rather than being told to come back.
      connectionTimeoutMillis: 10_000,
      statement_timeout: STATEMENT_TIMEOUT_MS,
      query_timeout: STATEMENT_TIMEOUT_MS + 500,
      keepAlive: true,
    },
  });
}
