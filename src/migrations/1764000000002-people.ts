import type { MigrationInterface, QueryRunner } from 'typeorm';
import { rolesOf, secureTable } from '../platform/database/row-security.js';

/** Accounts (one a person and installation), their memberships in tenants, and their sessions. */
export class People1764000000002 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    const roles = await rolesOf(runner);
    await runner.query(`
      CREATE TABLE users (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        email text NOT NULL,
        email_key text NOT NULL CONSTRAINT users_email_key UNIQUE,
        name text NOT NULL,
        password_hash text NOT NULL,
        status text NOT NULL DEFAULT 'ACTIVE' CHECK (status IN ('ACTIVE', 'DISABLED')),
        platform_role text CHECK (platform_role IN ('PLATFORM_ADMIN', 'PLATFORM_OPERATOR', 'PLATFORM_OPERATOR_WRITE')),
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
      )`);
    await runner.query(`
      CREATE TABLE memberships (
        tenant_id uuid NOT NULL REFERENCES tenants (id),
        user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        role text NOT NULL CHECK (role IN ('ADMIN', 'OPERATOR', 'VIEWER')),
        status text NOT NULL DEFAULT 'ACTIVE' CHECK (status IN ('ACTIVE', 'DISABLED')),
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, user_id)
      )`);
    await runner.query('CREATE INDEX memberships_user ON memberships (user_id)');
    await runner.query(`
      CREATE TABLE sessions (
        id uuid PRIMARY KEY,
        tenant_id uuid REFERENCES tenants (id),
        user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        transport text NOT NULL CHECK (transport IN ('json', 'cookie')),
        refresh_digest bytea NOT NULL,
        ip text,
        user_agent text,
        created_at timestamptz NOT NULL DEFAULT now(),
        last_used_at timestamptz NOT NULL DEFAULT now(),
        refresh_expires_at timestamptz NOT NULL,
        absolute_expires_at timestamptz NOT NULL,
        ended_at timestamptz,
        end_reason text
      )`);
    await runner.query('CREATE INDEX sessions_user ON sessions (user_id) WHERE ended_at IS NULL');
    await secureTable(runner, 'memberships', {
      app: 'SELECT, INSERT, UPDATE, DELETE',
      reader: 'SELECT',
      visible: 'tenant_id = current_tenant() OR user_id = current_account()',
      check: 'tenant_id = current_tenant()',
    });
    await secureTable(runner, 'users', {
      app: 'SELECT, INSERT, UPDATE',
      reader: 'SELECT (id, email, name, status, platform_role, created_at, updated_at)',
      // Oneself, the account that logs in under this e-mail, and the members of the tenant.
      visible: `id = current_account()
        OR email_key = nullif(current_setting('app.email', true), '')
        OR EXISTS (SELECT 1 FROM memberships m WHERE m.user_id = users.id AND m.tenant_id = current_tenant())`,
      check: 'id = current_account()',
    });
    await secureTable(runner, 'sessions', {
      app: 'SELECT, INSERT, UPDATE, DELETE',
      // Who a token speaks for is asked before there is a tenant; digests stay out of the reader's sight.
      reader: 'SELECT (id, tenant_id, user_id, ended_at, absolute_expires_at)',
      visible: 'user_id = current_account() OR tenant_id = current_tenant()',
    });
    // A member of several tenants chooses at login, before there is a tenant in the transaction.
    await runner.query(`
      CREATE POLICY tenants_of_member ON tenants FOR SELECT TO "${roles.app}"
        USING (EXISTS (SELECT 1 FROM memberships m WHERE m.tenant_id = tenants.id AND m.user_id = current_account()))`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP POLICY tenants_of_member ON tenants');
    for (const table of ['sessions', 'memberships', 'users']) await runner.query(`DROP TABLE ${table} CASCADE`);
  }
}
