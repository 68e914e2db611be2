import type { MigrationInterface, QueryRunner } from 'typeorm';
import { rolesOf } from '../platform/database/row-security.js';

/** Months of the security log that are old enough are dropped whole; only the role that migrates may order it. */
export class AuditRetention1764000000008 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    const roles = await rolesOf(runner);
    await runner.query(`
      CREATE FUNCTION audit_prune_months(keep integer, really boolean) RETURNS TABLE (partition text, bytes bigint)
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
      DECLARE
        oldest text;
        month record;
      BEGIN
        IF keep < 1 OR keep > 1200 THEN RAISE EXCEPTION 'between 1 and 1200 months must be kept'; END IF;
        PERFORM pg_advisory_xact_lock(hashtext('audit_prepare_months'));
        -- The current month counts as one of those that are kept.
        oldest := 'security_audit_logs_'
          || to_char(date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => keep - 1), 'YYYYMM');
        FOR month IN
          SELECT c.relname::text AS name, c.oid AS id
            FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
           WHERE i.inhparent = 'security_audit_logs'::regclass
             AND c.relname ~ '^security_audit_logs_[0-9]{6}$' AND c.relname < oldest
           ORDER BY c.relname
        LOOP
          partition := month.name;
          bytes := pg_total_relation_size(month.id);
          IF really THEN EXECUTE format('DROP TABLE %I', month.name); END IF;
          RETURN NEXT;
        END LOOP;
      END $$`);
    await runner.query('REVOKE ALL ON FUNCTION audit_prune_months(integer, boolean) FROM PUBLIC');
    await runner.query(`GRANT EXECUTE ON FUNCTION audit_prune_months(integer, boolean) TO "${roles.migrator}"`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP FUNCTION audit_prune_months(integer, boolean)');
  }
}
