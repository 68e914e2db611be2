import { readFileSync } from 'node:fs';
import type { ClientConfig } from 'pg';
import type { SslOptions } from '../config/reader.js';
import type { Config } from '../config/config.js';
import { roleNames, rolePrefix, type RoleNames } from './roles.js';

/** How to connect as one of the roles: by its own LOGIN role, or as the owner who assumes it. */
export function connectionFor(database: Config['database'], role: keyof RoleNames): ClientConfig {
  const name = roleNames(rolePrefix(database))[role];
  const own = { migrator: database.migratorUrl, app: database.appUrl, gate: database.gateUrl, reader: database.readerUrl }[role];
  const connectionString = own ?? database.url;
  if (!connectionString) throw new Error('no database is configured');
  return {
    connectionString,
    application_name: `portcullis-${role}`,
    ssl: sslOptions(database.ssl),
    // The migrator always assumes the owning role, so that tables have one owner whoever logs in.
    ...(own && role !== 'migrator' ? {} : { options: `-c role=${name}` }),
  };
}

/** The owner itself, without any assumed role (creates roles, in development). */
export function ownerConnection(database: Config['database']): ClientConfig {
  if (!database.url) throw new Error('no database is configured');
  return { connectionString: database.url, application_name: 'portcullis-owner', ssl: sslOptions(database.ssl) };
}

function sslOptions(ssl: SslOptions): ClientConfig['ssl'] {
  if (ssl.mode === 'disable') return false;
  const file = (name?: string) => (name === undefined ? undefined : readFileSync(name, 'utf8'));
  return { rejectUnauthorized: ssl.mode === 'verify-full', ca: file(ssl.ca), cert: file(ssl.cert), key: file(ssl.key) };
}
