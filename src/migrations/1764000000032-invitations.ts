import type { MigrationInterface, QueryRunner } from 'typeorm';
import { secureTable } from '../platform/database/row-security.js';

/** What is sent by mail and works once: invitations into a tenant, recovery of an account, confirmation of an address. */
export class Invitations1764000000032 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE invitations (
        id uuid PRIMARY KEY,
        tenant_id uuid NOT NULL REFERENCES tenants (id),
        email text NOT NULL,
        role text NOT NULL CHECK (role IN ('ADMIN', 'OPERATOR', 'VIEWER')),
        invited_by uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        digest bytea NOT NULL,
        data_key_id uuid NOT NULL REFERENCES data_keys (id),
        created_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        accepted_at timestamptz,
        revoked_at timestamptz
      )`);
    await runner.query('CREATE INDEX invitations_page ON invitations (tenant_id, created_at, id)');
    await secureTable(runner, 'invitations', {
      app: 'SELECT, INSERT, UPDATE, DELETE',
      // Into which tenant a token leads is asked before there is one.
      reader: 'SELECT',
    });
    await runner.query(`
      CREATE TABLE account_tokens (
        id uuid PRIMARY KEY,
        user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        purpose text NOT NULL CHECK (purpose IN ('recovery', 'email-old', 'email-new')),
        change_id uuid,
        new_email text,
        digest bytea NOT NULL,
        data_key_id uuid NOT NULL REFERENCES data_keys (id),
        created_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        used_at timestamptz,
        CONSTRAINT account_tokens_change CHECK ((purpose = 'recovery') = (change_id IS NULL AND new_email IS NULL))
      )`);
    await runner.query('CREATE INDEX account_tokens_user ON account_tokens (user_id)');
    await secureTable(runner, 'account_tokens', {
      app: 'SELECT, INSERT, UPDATE, DELETE',
      reader: 'SELECT',
      visible: 'user_id = current_account()',
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE account_tokens');
    await runner.query('DROP TABLE invitations');
  }
}
