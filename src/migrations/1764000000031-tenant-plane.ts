import type { MigrationInterface, QueryRunner } from 'typeorm';
import { rolesOf } from '../platform/database/row-security.js';

/** Tenants are made, and deleted after a grace, by the platform plane. */
export class TenantPlane1764000000031 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    const { app } = await rolesOf(runner);
    await runner.query('ALTER TABLE tenants ADD COLUMN delete_after timestamptz, ADD COLUMN status_reason text');
    await runner.query(`ALTER TABLE tenants ADD CONSTRAINT tenants_deletion CHECK (delete_after IS NULL OR status = 'FROZEN')`);
    // A new tenant is made by a transaction that acts in it.
    await runner.query(`GRANT INSERT ON tenants TO "${app}"`);
    // Every table with a tenant in it, whichever rooms there are: foreign keys say in what order, so it goes round until none objects.
    await runner.query(`
      CREATE FUNCTION tenant_purge(doomed uuid, at timestamptz) RETURNS boolean
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
      DECLARE
        name text;
        blocked boolean;
        rounds integer := 0;
      BEGIN
        PERFORM 1 FROM tenants WHERE id = doomed AND delete_after <= at FOR UPDATE SKIP LOCKED;
        IF NOT FOUND THEN RETURN false; END IF;
        LOOP
          blocked := false;
          FOR name IN
            SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
              WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
                AND c.relname <> 'security_audit_logs' ORDER BY c.relname
          LOOP
            BEGIN
              EXECUTE format('DELETE FROM %I WHERE tenant_id = $1', name) USING doomed;
            EXCEPTION WHEN foreign_key_violation THEN
              blocked := true;
            END;
          END LOOP;
          EXIT WHEN NOT blocked;
          rounds := rounds + 1;
          IF rounds > 50 THEN RAISE EXCEPTION 'rows of tenant % hold each other', doomed; END IF;
        END LOOP;
        DELETE FROM tenants WHERE id = doomed;
        RETURN true;
      END $$`);
    await runner.query('REVOKE ALL ON FUNCTION tenant_purge(uuid, timestamptz) FROM PUBLIC');
    await runner.query(`GRANT EXECUTE ON FUNCTION tenant_purge(uuid, timestamptz) TO "${app}"`);
  }

  async down(runner: QueryRunner): Promise<void> {
    const { app } = await rolesOf(runner);
    await runner.query('DROP FUNCTION tenant_purge(uuid, timestamptz)');
    await runner.query(`REVOKE INSERT ON tenants FROM "${app}"`);
    await runner.query('ALTER TABLE tenants DROP CONSTRAINT tenants_deletion');
    await runner.query('ALTER TABLE tenants DROP COLUMN delete_after, DROP COLUMN status_reason');
  }
}
