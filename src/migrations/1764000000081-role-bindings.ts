import type { MigrationInterface, QueryRunner } from 'typeorm';
import { secureTable } from '../platform/database/row-security.js';

/** Roles of members on one group (and the groups in it) or one device; and a membership that gives nothing by itself. */
export class RoleBindings1764000000081 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const table of ['memberships', 'invitations']) {
      await runner.query(`ALTER TABLE ${table} DROP CONSTRAINT ${table}_role_check,
        ADD CONSTRAINT ${table}_role_check CHECK (role IN ('ADMIN', 'OPERATOR', 'VIEWER', 'MEMBER'))`);
    }
    await runner.query(`
      CREATE TABLE role_bindings (
        tenant_id uuid NOT NULL REFERENCES tenants (id),
        id uuid PRIMARY KEY,
        user_id uuid NOT NULL,
        role text NOT NULL CHECK (role IN ('ADMIN', 'OPERATOR', 'VIEWER')),
        group_id uuid,
        device_id uuid,
        created_by text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz,
        CONSTRAINT role_bindings_one_object CHECK (num_nonnulls(group_id, device_id) = 1),
        CONSTRAINT role_bindings_member_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES memberships (tenant_id, user_id) ON DELETE CASCADE,
        CONSTRAINT role_bindings_group_fkey FOREIGN KEY (tenant_id, group_id) REFERENCES groups (tenant_id, id) ON DELETE CASCADE,
        CONSTRAINT role_bindings_device_fkey FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, id) ON DELETE CASCADE
      )`);
    // Also what the guard goes by: the bindings of one account.
    await runner.query(`CREATE UNIQUE INDEX role_bindings_key ON role_bindings (tenant_id, user_id, role, coalesce(group_id, device_id))`);
    await runner.query('CREATE INDEX role_bindings_page ON role_bindings (tenant_id, created_at, id)');
    await runner.query('CREATE INDEX role_bindings_group ON role_bindings (group_id) WHERE group_id IS NOT NULL');
    await runner.query('CREATE INDEX role_bindings_device ON role_bindings (device_id) WHERE device_id IS NOT NULL');
    await secureTable(runner, 'role_bindings', {
      app: 'SELECT, INSERT, DELETE',
      // The guard asks before there is a tenant to which row security could narrow it.
      reader: 'SELECT',
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE role_bindings');
    for (const table of ['invitations', 'memberships']) {
      // No older role gives nothing: such people leave.
      await runner.query(`DELETE FROM ${table} WHERE role = 'MEMBER'`);
      await runner.query(`ALTER TABLE ${table} DROP CONSTRAINT ${table}_role_check,
        ADD CONSTRAINT ${table}_role_check CHECK (role IN ('ADMIN', 'OPERATOR', 'VIEWER'))`);
    }
  }
}
