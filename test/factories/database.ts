import { randomBytes } from 'node:crypto';
import pg from 'pg';
import type { Config } from '../../src/platform/config/config.js';

/** The migrated database that every test file clones, and the roles that its policies name. */
export const TEMPLATE = 'portcullis_template';
export const ROLE_PREFIX = 'portcullis_test';

export interface TestDatabase {
  readonly url: string;
  readonly config: Config['database'];
  drop(): Promise<void>;
}

/** A private copy of the migrated template on the test server. */
export async function cloneDatabase(template = TEMPLATE): Promise<TestDatabase> {
  const server = serverUrl();
  const name = `t_${randomBytes(6).toString('hex')}`;
  await administer(server, (client) => client.query(`CREATE DATABASE ${name} TEMPLATE ${template}`));
  const url = new URL(server);
  url.pathname = `/${name}`;
  return {
    url: url.href,
    config: databaseConfig(url.href),
    drop: () => administer(server, (client) => client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)),
  };
}

export function databaseConfig(url: string): Config['database'] {
  return { url, rolePrefix: ROLE_PREFIX, ssl: { mode: 'disable' }, poolSize: 6, gatePoolSize: 3 };
}

/** The owner's address on the test server. */
export function serverUrl(): string {
  const url = process.env['TEST_POSTGRES_URL'];
  if (!url) throw new Error('TEST_POSTGRES_URL is not set: integration tests run with the global set-up of jest.config.js');
  return url;
}

export async function administer(url: string, work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}
