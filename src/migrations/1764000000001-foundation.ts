import type { MigrationInterface, QueryRunner } from 'typeorm';
import { rolesOf, secureTable } from '../platform/database/row-security.js';

/** Settings of a transaction as SQL functions, the tenants, and the wrapped data keys. */
export class Foundation1764000000001 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    const roles = await rolesOf(runner);
    for (const [name, setting] of [['current_tenant', 'app.tenant'], ['current_account', 'app.user']]) {
      // After a transaction the setting is '' rather than unset, hence nullif.
      await runner.query(
        `CREATE FUNCTION ${name}() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
           AS $$ SELECT nullif(current_setting('${setting}', true), '')::uuid $$`,
      );
    }
    await runner.query(`
      CREATE TABLE tenants (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        slug text NOT NULL CONSTRAINT tenants_slug_key UNIQUE CHECK (slug ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
        name text NOT NULL,
        status text NOT NULL DEFAULT 'ACTIVE' CHECK (status IN ('ACTIVE', 'FROZEN')),
        version bigint NOT NULL DEFAULT 0,
        created_at timestamptz NOT NULL DEFAULT now()
      )`);
    await secureTable(runner, 'tenants', {
      app: 'SELECT, UPDATE',
      gate: 'SELECT',
      reader: 'SELECT',
      visible: 'id = current_tenant()',
    });
    await runner.query(`INSERT INTO tenants (slug, name) VALUES ('default', 'Default')`);
    await runner.query(`
      CREATE TABLE data_keys (
        id uuid PRIMARY KEY,
        purpose text NOT NULL,
        master_kid text NOT NULL,
        wrapped bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        retired_at timestamptz
      )`);
    // One current key a purpose: two instances that start at once must not seal under different ones.
    await runner.query(`CREATE UNIQUE INDEX data_keys_current ON data_keys (purpose) WHERE retired_at IS NULL`);
    // Wrapped keys belong to the installation, not to a tenant.
    await secureTable(runner, 'data_keys', { app: 'SELECT, INSERT, UPDATE', gate: 'SELECT', visible: 'true' });
    await runner.query(`GRANT EXECUTE ON FUNCTION current_tenant(), current_account() TO "${roles.app}", "${roles.gate}"`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE data_keys');
    await runner.query('DROP TABLE tenants');
    await runner.query('DROP FUNCTION current_account()');
    await runner.query('DROP FUNCTION current_tenant()');
  }
}
