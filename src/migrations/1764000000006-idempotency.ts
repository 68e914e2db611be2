import type { MigrationInterface, QueryRunner } from 'typeorm';
import { rolesOf, secureTable } from '../platform/database/row-security.js';

/** Answers of writes that bore an `Idempotency-Key`. */
export class Idempotency1764000000006 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE idempotency_keys (
        tenant_id uuid NOT NULL REFERENCES tenants (id),
        principal text NOT NULL,
        key text NOT NULL,
        route text NOT NULL,
        body_hash bytea NOT NULL,
        owner uuid NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        locked_until timestamptz NOT NULL,
        status_code integer,
        answer bytea,
        holds_secret boolean NOT NULL DEFAULT false,
        PRIMARY KEY (tenant_id, principal, key)
      )`);
    await runner.query('CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at)');
    await runner.query(`
      CREATE INDEX idempotency_keys_secrets ON idempotency_keys (created_at) WHERE holds_secret AND answer IS NOT NULL`);
    await secureTable(runner, 'idempotency_keys', { app: 'SELECT, INSERT, UPDATE, DELETE' });
    // Row security shows the app one tenant at a time; a sweep over all of them is the owner's.
    await runner.query(`
      CREATE FUNCTION idempotency_sweep(ended_before timestamptz, secret_before timestamptz, most integer) RETURNS integer
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
      DECLARE
        wiped integer;
        deleted integer;
      BEGIN
        UPDATE idempotency_keys SET answer = NULL
          WHERE ctid = ANY (ARRAY(SELECT ctid FROM idempotency_keys
            WHERE holds_secret AND answer IS NOT NULL AND created_at <= secret_before LIMIT most FOR UPDATE SKIP LOCKED));
        GET DIAGNOSTICS wiped = ROW_COUNT;
        DELETE FROM idempotency_keys
          WHERE ctid = ANY (ARRAY(SELECT ctid FROM idempotency_keys
            WHERE created_at <= ended_before LIMIT most FOR UPDATE SKIP LOCKED));
        GET DIAGNOSTICS deleted = ROW_COUNT;
        RETURN greatest(wiped, deleted);
      END $$`);
    await runner.query('REVOKE ALL ON FUNCTION idempotency_sweep(timestamptz, timestamptz, integer) FROM PUBLIC');
    const { app } = await rolesOf(runner);
    await runner.query(`GRANT EXECUTE ON FUNCTION idempotency_sweep(timestamptz, timestamptz, integer) TO "${app}"`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP FUNCTION idempotency_sweep(timestamptz, timestamptz, integer)');
    await runner.query('DROP TABLE idempotency_keys');
  }
}
