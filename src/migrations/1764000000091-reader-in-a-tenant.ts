import type { MigrationInterface, QueryRunner } from 'typeorm';

interface PolicyRow {
  readonly table: string;
  readonly visible: string;
}

/**
 * The reader role sees all tenants. Inside a transaction that says which tenant it reads for, it sees that one alone, by what each table
 * shows to the app: a statement that forgets the tenant then shows nothing of another, there as here.
 */
export class ReaderInATenant1764000000091 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const { table, visible } of await policies(runner)) {
      await runner.query(`ALTER POLICY ${table}_read_reader ON ${table} USING (current_tenant() IS NULL OR (${visible}))`);
    }
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const { table } of await policies(runner)) await runner.query(`ALTER POLICY ${table}_read_reader ON ${table} USING (true)`);
  }
}

/** Tables that the reader has a policy on, with what the app sees of them. */
async function policies(runner: QueryRunner): Promise<PolicyRow[]> {
  return (await runner.query(
    `SELECT r.tablename AS "table", a.qual AS visible FROM pg_policies r
       JOIN pg_policies a ON a.schemaname = r.schemaname AND a.tablename = r.tablename AND a.policyname = r.tablename || '_app'
      WHERE r.schemaname = 'public' AND r.policyname = r.tablename || '_read_reader' ORDER BY 1`,
  )) as PolicyRow[];
}
