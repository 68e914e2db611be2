import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Which entries may leave a list is asked at each list: not by looking through all of them. */
export class ListsLeaving1764000000062 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('CREATE INDEX certificates_leaving ON certificates (authority_id, not_after) WHERE crl_entry IS NOT NULL AND crl_last IS NULL');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX certificates_leaving');
  }
}
