import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What has been said already about the end of an authority, as certificates have it. */
export class ExpiryWarnings1764000000060 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE certificate_authorities ADD COLUMN warned text[] NOT NULL DEFAULT '{}'`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE certificate_authorities DROP COLUMN warned');
  }
}
