import type { Client } from 'pg';
import type { Config } from '../config/config.js';

/** The four database roles of an installation. They are cluster-wide, hence the prefix. */
export interface RoleNames {
  /** Owns the tables, runs migrations. */
  readonly migrator: string;
  /** REST: bound by row security. */
  readonly app: string;
  /** The broker's callbacks: select only. */
  readonly gate: string;
  /** Platform reads across tenants: select only. */
  readonly reader: string;
}

export function roleNames(prefix: string): RoleNames {
  if (!/^[a-z_][a-z0-9_]{0,49}$/.test(prefix)) {
    throw new Error(`"${prefix}" cannot prefix role names: set DATABASE_ROLE_PREFIX to lower-case letters, digits and _`);
  }
  return { migrator: `${prefix}_migrator`, app: `${prefix}_app`, gate: `${prefix}_gate`, reader: `${prefix}_reader` };
}

/** `DATABASE_ROLE_PREFIX`, else the name of the database. */
export function rolePrefix(config: Config['database']): string {
  if (config.rolePrefix) return config.rolePrefix;
  const url = config.migratorUrl ?? config.url;
  if (!url) throw new Error('no database is configured');
  return decodeURIComponent(new URL(url).pathname.slice(1)).toLowerCase().replace(/[^a-z0-9_]/g, '_');
}

const DUPLICATE_OBJECT = '42710';
const UNIQUE_VIOLATION = '23505';

/**
 * Creates the roles of a single-URL (development) installation and lets the connected owner assume them.
 * Production creates them beforehand (`docker/postgres`), each behind a LOGIN role of its own.
 */
export async function ensureRoles(owner: Client, names: RoleNames, serverVersion: number): Promise<void> {
  for (const role of Object.values(names) as string[]) {
    try {
      await owner.query(`CREATE ROLE "${role}" NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE`);
    } catch (error) {
      // Another instance, or another database of the same prefix, was faster.
      const code = (error as { code?: string }).code;
      if (code !== DUPLICATE_OBJECT && code !== UNIQUE_VIOLATION) throw error;
    }
    const member = await owner.query<{ able: boolean }>('SELECT pg_has_role(current_user, $1, $2) AS able', [
      role,
      serverVersion >= 160_000 ? 'SET' : 'MEMBER',
    ]);
    if (!member.rows[0]?.able) {
      await owner.query(`GRANT "${role}" TO CURRENT_USER${serverVersion >= 160_000 ? ' WITH SET TRUE' : ''}`);
    }
  }
  await owner.query(`GRANT USAGE, CREATE ON SCHEMA public TO "${names.migrator}"`);
  for (const role of [names.app, names.gate, names.reader]) await owner.query(`GRANT USAGE ON SCHEMA public TO "${role}"`);
}
