import type { QueryRunner } from 'typeorm';
import { roleNames, type RoleNames } from './roles.js';

export interface Grants {
  /** What REST may do; row security narrows it to the tenant. */
  readonly app: string;
  /** What the broker's callbacks may do: `SELECT`, a column list, or nothing. */
  readonly gate?: string;
  readonly reader?: string;
  /**
   * Which rows the app role sees, as SQL; by default those of the tenant of the transaction.
   * `check` says which rows it may write, if that is narrower.
   */
  readonly visible?: string;
  readonly check?: string;
}

/** The roles, derived from the one that migrates: a migration is handed nothing but a connection. */
export async function rolesOf(runner: QueryRunner): Promise<RoleNames> {
  const rows = (await runner.query('SELECT current_user AS name')) as { name: string }[];
  const name = rows[0]?.name ?? '';
  if (!name.endsWith('_migrator')) throw new Error(`migrations run as a role named {prefix}_migrator, not as "${name}"`);
  return roleNames(name.slice(0, -'_migrator'.length));
}

/**
 * Stamps a table: row security enabled and forced (it binds the owner too), one policy a role, and the grants.
 * A table of ours that did not pass through here fails a test.
 */
export async function secureTable(runner: QueryRunner, table: string, grants: Grants): Promise<void> {
  const roles = await rolesOf(runner);
  const visible = grants.visible ?? 'tenant_id = current_tenant()';
  const check = grants.check ?? visible;
  await runner.query(`ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY`);
  await runner.query(`ALTER TABLE ${table} FORCE ROW LEVEL SECURITY`);
  await runner.query(`CREATE POLICY ${table}_migrator ON ${table} TO "${roles.migrator}" USING (true) WITH CHECK (true)`);
  await runner.query(`CREATE POLICY ${table}_app ON ${table} TO "${roles.app}" USING (${visible}) WITH CHECK (${check})`);
  await runner.query(`GRANT ${grants.app} ON ${table} TO "${roles.app}"`);
  for (const [role, what] of [[roles.gate, grants.gate], [roles.reader, grants.reader]] as const) {
    if (!what) continue;
    // The reader sees everything, unless the transaction says for which tenant it reads.
    const rows = role === roles.gate ? 'true' : `current_tenant() IS NULL OR (${visible})`;
    await runner.query(`CREATE POLICY ${table}_read_${role === roles.gate ? 'gate' : 'reader'} ON ${table} FOR SELECT TO "${role}" USING (${rows})`);
    await runner.query(`GRANT ${what} ON ${table} TO "${role}"`);
  }
}
