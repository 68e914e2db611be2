import type { MigrationInterface, QueryRunner } from 'typeorm';
import { rolesOf, secureTable } from '../platform/database/row-security.js';

/** Authorities whose certificate is signed elsewhere, and the end of those that nothing rests on any more. */
export class AuthoritySuccession1764000000061 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    const { gate, reader } = await rolesOf(runner);
    await runner.query(`
      ALTER TABLE certificate_authorities
        ADD COLUMN ended_at timestamptz,
        ADD COLUMN key_here boolean GENERATED ALWAYS AS (key_handle IS NOT NULL) STORED,
        ADD CONSTRAINT certificate_authorities_ended CHECK (ended_at IS NULL OR retired_at IS NOT NULL)`);
    await runner.query(`GRANT SELECT (ended_at, key_here) ON certificate_authorities TO "${gate}", "${reader}"`);
    // A key that waits for its certificate; with it the row becomes an authority of the same id.
    await runner.query(`
      CREATE TABLE authority_requests (
        tenant_id uuid NOT NULL REFERENCES tenants (id),
        id uuid PRIMARY KEY,
        key_type text NOT NULL CHECK (key_type IN ('EC', 'RSA')),
        key_handle bytea NOT NULL,
        key_hash bytea NOT NULL UNIQUE,
        created_at timestamptz NOT NULL
      )`);
    await runner.query('CREATE INDEX authority_requests_tenant ON authority_requests (tenant_id)');
    await secureTable(runner, 'authority_requests', { app: 'SELECT, INSERT, DELETE' });
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE authority_requests');
    await runner.query('ALTER TABLE certificate_authorities DROP CONSTRAINT certificate_authorities_ended, DROP COLUMN key_here, DROP COLUMN ended_at');
  }
}
