import type { MigrationInterface, QueryRunner } from 'typeorm';
import { rolesOf, secureTable } from '../platform/database/row-security.js';

/** The security log, a partition a month. The app may insert and read; months are made ahead by a definer function. */
export class Audit1764000000005 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    const roles = await rolesOf(runner);
    await runner.query(`
      CREATE TABLE security_audit_logs (
        id uuid NOT NULL DEFAULT gen_random_uuid(),
        tenant_id uuid,
        occurred_at timestamptz NOT NULL DEFAULT now(),
        event_type text NOT NULL,
        severity text NOT NULL CHECK (severity IN ('INFO', 'WARNING', 'HIGH', 'CRITICAL')),
        device_id uuid,
        user_id uuid,
        actor_kind text NOT NULL,
        actor_id text,
        ip text,
        request_id text,
        details jsonb NOT NULL DEFAULT '{}',
        PRIMARY KEY (occurred_at, id)
      ) PARTITION BY RANGE (occurred_at)`);
    await runner.query('CREATE INDEX security_audit_logs_tenant ON security_audit_logs (tenant_id, occurred_at, id)');
    await runner.query('CREATE INDEX security_audit_logs_device ON security_audit_logs (device_id, occurred_at) WHERE device_id IS NOT NULL');
    await secureTable(runner, 'security_audit_logs', {
      app: 'SELECT, INSERT',
      reader: 'SELECT',
      // Rows about nobody's device have no tenant: they may be written, and only the platform plane reads them.
      check: 'tenant_id IS NULL OR tenant_id = current_tenant()',
    });
    // Takes what no month was made for: a row must never fail, and take the change that it traces with it, for want of a month.
    await runner.query('CREATE TABLE security_audit_logs_other PARTITION OF security_audit_logs DEFAULT');
    // Row security of a partition only counts for direct access, which nobody but the owner has.
    await runner.query('ALTER TABLE security_audit_logs_other ENABLE ROW LEVEL SECURITY');
    await runner.query(`
      CREATE FUNCTION audit_prepare_months(ahead integer) RETURNS integer
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
      DECLARE
        first timestamptz;
        next timestamptz;
        made integer := 0;
        name text;
      BEGIN
        IF ahead < 0 OR ahead > 24 THEN RAISE EXCEPTION 'between 0 and 24 months ahead'; END IF;
        PERFORM pg_advisory_xact_lock(hashtext('audit_prepare_months'));
        FOR i IN 0..ahead LOOP
          first := (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => i)) AT TIME ZONE 'UTC';
          next := (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => i + 1)) AT TIME ZONE 'UTC';
          name := 'security_audit_logs_' || to_char(first AT TIME ZONE 'UTC', 'YYYYMM');
          IF to_regclass(name) IS NULL THEN
            EXECUTE format('CREATE TABLE %I (LIKE security_audit_logs INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
            LOCK TABLE security_audit_logs_other IN ACCESS EXCLUSIVE MODE;
            EXECUTE format('WITH late AS (DELETE FROM security_audit_logs_other WHERE occurred_at >= %L AND occurred_at < %L'
              ' RETURNING *) INSERT INTO %I SELECT * FROM late', first, next, name);
            EXECUTE format('ALTER TABLE security_audit_logs ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, first, next);
            EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
            made := made + 1;
          END IF;
        END LOOP;
        RETURN made;
      END $$`);
    await runner.query('REVOKE ALL ON FUNCTION audit_prepare_months(integer) FROM PUBLIC');
    await runner.query(`GRANT EXECUTE ON FUNCTION audit_prepare_months(integer) TO "${roles.app}"`);
    await runner.query('SELECT audit_prepare_months(2)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP FUNCTION audit_prepare_months(integer)');
    await runner.query('DROP TABLE security_audit_logs');
  }
}
