import type { MigrationInterface, QueryRunner } from 'typeorm';
import { secureTable } from '../platform/database/row-security.js';

/** Ejections that the broker has not confirmed yet, and second looks that are due; at most one of each subject. */
export class Ejections1764000000007 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE ejections (
        tenant_id uuid NOT NULL REFERENCES tenants (id),
        subject_kind text NOT NULL CHECK (subject_kind IN ('device', 'service')),
        subject_id uuid NOT NULL,
        revision bigint NOT NULL DEFAULT 1,
        why text NOT NULL,
        ban boolean NOT NULL,
        announce boolean NOT NULL,
        facts_version bigint,
        phase text NOT NULL DEFAULT 'EJECT' CHECK (phase IN ('EJECT', 'SWEEP')),
        attempts integer NOT NULL DEFAULT 0,
        ordered_at timestamptz NOT NULL DEFAULT now(),
        next_attempt_at timestamptz NOT NULL,
        PRIMARY KEY (tenant_id, subject_kind, subject_id)
      )`);
    await runner.query('CREATE INDEX ejections_due ON ejections (next_attempt_at)');
    await secureTable(runner, 'ejections', { app: 'SELECT, INSERT, UPDATE, DELETE', reader: 'SELECT' });
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE ejections');
  }
}
