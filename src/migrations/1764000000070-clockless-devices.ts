import type { MigrationInterface, QueryRunner } from 'typeorm';
import { rolesOf } from '../platform/database/row-security.js';

/** Devices without a clock are marked: their messages may bear a challenge of ours in place of the time. */
export class ClocklessDevices1764000000070 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE devices ADD COLUMN clockless boolean NOT NULL DEFAULT false');
    await this.createFactsView(runner, ['d.clockless', 'false AS clockless']);
  }

  async down(runner: QueryRunner): Promise<void> {
    await this.createFactsView(runner, null);
    await runner.query('ALTER TABLE devices DROP COLUMN clockless');
  }

  /** The view of the registry's first migration, and what a device and a service account have to say about clocks. */
  private async createFactsView(runner: QueryRunner, clockless: readonly [string, string] | null): Promise<void> {
    const [ofDevice, ofService] = clockless === null ? ['', ''] : clockless.map((column) => `, ${column}`);
    const rule = `json_build_object('action', r.action, 'topic', r.topic, 'qos', r.qos, 'retain', r.retain)`;
    await runner.query('DROP VIEW subject_facts');
    await runner.query(`
      CREATE VIEW subject_facts WITH (security_invoker = true) AS
      SELECT 'device'::text AS kind, d.id, d.tenant_id, t.status AS tenant_status, d.status, d.slug,
        d.version + t.version AS version, d.allowed_proofs, d.tokens_not_before,
        (SELECT coalesce(json_agg(m.group_id ORDER BY m.group_id), '[]') FROM group_members m WHERE m.device_id = d.id) AS groups,
        -- Two branches, not OR: each then goes by its own partial index.
        (SELECT coalesce(json_agg(${rule} ORDER BY r.created_at, r.id), '[]') FROM (
          SELECT r.* FROM topic_rules r WHERE r.device_id = d.id
          UNION ALL
          SELECT r.* FROM group_members m JOIN topic_rules r ON r.group_id = m.group_id WHERE m.device_id = d.id) r) AS rules${ofDevice}
      FROM devices d JOIN tenants t ON t.id = d.tenant_id
      UNION ALL
      SELECT 'service', s.id, s.tenant_id, t.status, s.status, NULL, s.version + t.version, NULL, NULL, '[]',
        (SELECT coalesce(json_agg(${rule} ORDER BY r.created_at, r.id), '[]') FROM topic_rules r WHERE r.service_account_id = s.id)${ofService}
      FROM service_accounts s JOIN tenants t ON t.id = s.tenant_id`);
    const roles = await rolesOf(runner);
    await runner.query(`GRANT SELECT ON subject_facts TO "${roles.app}", "${roles.gate}"`);
  }
}
