import type { MigrationInterface, QueryRunner } from 'typeorm';
import { rolesOf } from '../platform/database/row-security.js';

/** An account may end its own access tokens whatever tenant they act in, such as with a new password; and do nothing else to them. */
export class OwnerEndsTokens1764000000090 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    const roles = await rolesOf(runner);
    await runner.query(`
      CREATE POLICY personal_access_tokens_owner_ends ON personal_access_tokens FOR UPDATE TO "${roles.app}"
        USING (user_id = current_account()) WITH CHECK (user_id = current_account() AND revoked_at IS NOT NULL)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP POLICY personal_access_tokens_owner_ends ON personal_access_tokens');
  }
}
