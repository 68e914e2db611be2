import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Beyond so many in one transaction it is said of the tenant as a whole. */
const MOST_TOLD_ALONE = 500;

/**
 * Whoever raises a version tells it on the channel `portcullis_facts`, in the transaction itself, so that Postgres delivers it at the
 * commit, with nobody to forget it and no other server to be reached: `device <id>`, `service <id>` or `tenant <id>`.
 */
export class ChangeNotices1764000000050 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE FUNCTION subject_changed() RETURNS trigger LANGUAGE plpgsql AS $$
      DECLARE
        -- Local to the transaction; an empty text where an earlier one of this connection has set it.
        told integer := coalesce(nullif(current_setting('app.subjects_told', true), ''), '0')::integer;
      BEGIN
        IF told >= ${MOST_TOLD_ALONE} THEN
          -- Postgres keeps one of many equal ones.
          PERFORM pg_notify('portcullis_facts', 'tenant ' || NEW.tenant_id);
        ELSE
          PERFORM set_config('app.subjects_told', (told + 1)::text, true);
          PERFORM pg_notify('portcullis_facts', TG_ARGV[0] || ' ' || NEW.id);
        END IF;
        RETURN NULL;
      END $$`);
    await runner.query(`
      CREATE FUNCTION tenant_changed() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        PERFORM pg_notify('portcullis_facts', 'tenant ' || NEW.id);
        RETURN NULL;
      END $$`);
    for (const [table, kind] of [['devices', 'device'], ['service_accounts', 'service']] as const) {
      await runner.query(`CREATE TRIGGER ${table}_changed AFTER UPDATE ON ${table} FOR EACH ROW
        WHEN (NEW.version <> OLD.version) EXECUTE FUNCTION subject_changed('${kind}')`);
    }
    await runner.query(`CREATE TRIGGER tenants_changed AFTER UPDATE ON tenants FOR EACH ROW
      WHEN (NEW.version <> OLD.version) EXECUTE FUNCTION tenant_changed()`);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const table of ['tenants', 'service_accounts', 'devices']) await runner.query(`DROP TRIGGER ${table}_changed ON ${table}`);
    await runner.query('DROP FUNCTION tenant_changed()');
    await runner.query('DROP FUNCTION subject_changed()');
  }
}
