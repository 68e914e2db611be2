import type { MigrationInterface, QueryRunner } from 'typeorm';
import { secureTable } from '../platform/database/row-security.js';

/** Tokens with which people let their programs act for them in one tenant. */
export class PersonalAccessTokens1764000000030 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE personal_access_tokens (
        id uuid PRIMARY KEY,
        tenant_id uuid NOT NULL REFERENCES tenants (id),
        user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        name text NOT NULL,
        description text NOT NULL DEFAULT '',
        digest bytea NOT NULL,
        data_key_id uuid NOT NULL REFERENCES data_keys (id),
        scopes text[] NOT NULL DEFAULT '{}',
        networks text[] NOT NULL DEFAULT '{}',
        max_idle_seconds integer CHECK (max_idle_seconds > 0),
        created_at timestamptz NOT NULL,
        issued_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        last_used_at timestamptz,
        last_used_ip text,
        revoked_at timestamptz,
        revoke_reason text
      )`);
    await runner.query('CREATE INDEX personal_access_tokens_owner ON personal_access_tokens (tenant_id, user_id, created_at, id)');
    await secureTable(runner, 'personal_access_tokens', {
      app: 'SELECT, INSERT, UPDATE, DELETE',
      // Whom a token speaks for is asked before there is a tenant. The digest of 256 random bits tells its reader nothing.
      reader: 'SELECT',
      visible: 'tenant_id = current_tenant() OR user_id = current_account()',
      check: 'tenant_id = current_tenant()',
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE personal_access_tokens');
  }
}
