import type { MigrationInterface, QueryRunner } from 'typeorm';
import { rolesOf, secureTable } from '../platform/database/row-security.js';

const DEVICE_STATES = `'PENDING', 'ACTIVE', 'SUSPENDED', 'QUARANTINED', 'DECOMMISSIONED'`;

/** The registry: devices with their state machine, groups, service accounts, topic rules, and the facts view of the gate. */
export class Devices1764000000003 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE devices (
        tenant_id uuid NOT NULL REFERENCES tenants (id),
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        slug text NOT NULL CHECK (slug ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
        name text NOT NULL DEFAULT '',
        status text NOT NULL CHECK (status IN (${DEVICE_STATES})),
        status_reason text,
        status_before_quarantine text CHECK (status_before_quarantine IN ('ACTIVE', 'SUSPENDED')),
        metadata jsonb NOT NULL DEFAULT '{}',
        allowed_proofs text[],
        tokens_not_before timestamptz,
        reported_status text,
        last_seen_at timestamptz,
        version bigint NOT NULL DEFAULT 1,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT devices_tenant_id_key UNIQUE (tenant_id, id)
      )`);
    // A decommissioned device gives its name free for its successor.
    await runner.query(`CREATE UNIQUE INDEX devices_slug_key ON devices (tenant_id, slug) WHERE status <> 'DECOMMISSIONED'`);
    await runner.query('CREATE INDEX devices_page ON devices (tenant_id, created_at, id)');
    await runner.query(`
      CREATE FUNCTION devices_guard() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF TG_OP = 'INSERT' THEN
          IF NEW.status NOT IN ('PENDING', 'ACTIVE') THEN
            RAISE EXCEPTION 'a device starts PENDING or ACTIVE' USING ERRCODE = 'check_violation', CONSTRAINT = 'devices_state';
          END IF;
          RETURN NEW;
        END IF;
        IF NEW.id <> OLD.id OR NEW.tenant_id <> OLD.tenant_id THEN
          RAISE EXCEPTION 'id and tenant of a device never change' USING ERRCODE = 'check_violation', CONSTRAINT = 'devices_identity';
        END IF;
        IF NEW.status <> OLD.status THEN
          IF NOT (NEW.status = 'DECOMMISSIONED' AND OLD.status <> 'DECOMMISSIONED'
              OR (OLD.status, NEW.status) IN (('PENDING', 'ACTIVE'), ('ACTIVE', 'SUSPENDED'), ('SUSPENDED', 'ACTIVE'),
                ('ACTIVE', 'QUARANTINED'), ('SUSPENDED', 'QUARANTINED'), ('QUARANTINED', 'ACTIVE'), ('QUARANTINED', 'SUSPENDED'))) THEN
            RAISE EXCEPTION 'a device does not go from % to %', OLD.status, NEW.status
              USING ERRCODE = 'check_violation', CONSTRAINT = 'devices_state';
          END IF;
          -- Leaving quarantine goes back to where it was entered from, nowhere else.
          IF OLD.status = 'QUARANTINED' AND NEW.status <> 'DECOMMISSIONED' AND NEW.status <> OLD.status_before_quarantine THEN
            RAISE EXCEPTION 'release goes back to %', OLD.status_before_quarantine
              USING ERRCODE = 'check_violation', CONSTRAINT = 'devices_state';
          END IF;
          NEW.status_before_quarantine := CASE WHEN NEW.status = 'QUARANTINED' THEN OLD.status END;
        END IF;
        -- Caches keep the newest version: what the gate reads must never change without raising it.
        IF NEW.version <= OLD.version AND (NEW.status, NEW.slug, NEW.allowed_proofs, NEW.tokens_not_before)
            IS DISTINCT FROM (OLD.status, OLD.slug, OLD.allowed_proofs, OLD.tokens_not_before) THEN
          NEW.version := OLD.version + 1;
        END IF;
        IF NEW.version < OLD.version THEN NEW.version := OLD.version; END IF;
        RETURN NEW;
      END $$`);
    await runner.query(`CREATE TRIGGER devices_guard BEFORE INSERT OR UPDATE ON devices FOR EACH ROW EXECUTE FUNCTION devices_guard()`);
    await runner.query(`
      CREATE TABLE groups (
        tenant_id uuid NOT NULL REFERENCES tenants (id),
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        slug text NOT NULL CHECK (slug ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
        name text NOT NULL DEFAULT '',
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT groups_tenant_id_key UNIQUE (tenant_id, id),
        CONSTRAINT groups_slug_key UNIQUE (tenant_id, slug)
      )`);
    await runner.query(`
      CREATE TABLE group_members (
        tenant_id uuid NOT NULL,
        group_id uuid NOT NULL,
        device_id uuid NOT NULL,
        added_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (group_id, device_id),
        CONSTRAINT group_members_group_fkey FOREIGN KEY (tenant_id, group_id) REFERENCES groups (tenant_id, id) ON DELETE CASCADE,
        CONSTRAINT group_members_device_fkey FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, id)
      )`);
    await runner.query('CREATE INDEX group_members_device ON group_members (device_id)');
    await runner.query(`
      CREATE TABLE service_accounts (
        tenant_id uuid NOT NULL REFERENCES tenants (id),
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        name text NOT NULL,
        status text NOT NULL DEFAULT 'ACTIVE' CHECK (status IN ('ACTIVE', 'DISABLED')),
        version bigint NOT NULL DEFAULT 1,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT service_accounts_tenant_id_key UNIQUE (tenant_id, id),
        CONSTRAINT service_accounts_name_key UNIQUE (tenant_id, name)
      )`);
    await runner.query(`
      CREATE TABLE topic_rules (
        tenant_id uuid NOT NULL REFERENCES tenants (id),
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        device_id uuid,
        group_id uuid,
        service_account_id uuid,
        action text NOT NULL CHECK (action IN ('publish', 'subscribe', 'all')),
        topic text NOT NULL,
        qos smallint[] CHECK (qos <@ '{0,1,2}'::smallint[] AND cardinality(qos) > 0),
        retain boolean,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT topic_rules_one_owner CHECK (num_nonnulls(device_id, group_id, service_account_id) = 1),
        CONSTRAINT topic_rules_device_fkey FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, id),
        CONSTRAINT topic_rules_group_fkey FOREIGN KEY (tenant_id, group_id) REFERENCES groups (tenant_id, id) ON DELETE CASCADE,
        CONSTRAINT topic_rules_service_fkey FOREIGN KEY (tenant_id, service_account_id) REFERENCES service_accounts (tenant_id, id)
      )`);
    await runner.query('CREATE INDEX topic_rules_device ON topic_rules (device_id) WHERE device_id IS NOT NULL');
    await runner.query('CREATE INDEX topic_rules_group ON topic_rules (group_id) WHERE group_id IS NOT NULL');
    await runner.query('CREATE INDEX topic_rules_service ON topic_rules (service_account_id) WHERE service_account_id IS NOT NULL');
    for (const table of ['devices', 'groups', 'group_members', 'service_accounts', 'topic_rules']) {
      await secureTable(runner, table, {
        // A device is never deleted: decommissioned ones keep their history.
        app: table === 'devices' || table === 'service_accounts' ? 'SELECT, INSERT, UPDATE' : 'SELECT, INSERT, UPDATE, DELETE',
        gate: 'SELECT',
        reader: 'SELECT',
      });
    }
    await this.createFactsView(runner);
  }

  /** The one view that reads across rooms: the gate's facts, in one statement, with the caller's own rights. */
  private async createFactsView(runner: QueryRunner): Promise<void> {
    const rule = `json_build_object('action', r.action, 'topic', r.topic, 'qos', r.qos, 'retain', r.retain)`;
    await runner.query(`
      CREATE VIEW subject_facts WITH (security_invoker = true) AS
      SELECT 'device'::text AS kind, d.id, d.tenant_id, t.status AS tenant_status, d.status, d.slug,
        d.version + t.version AS version, d.allowed_proofs, d.tokens_not_before,
        (SELECT coalesce(json_agg(m.group_id ORDER BY m.group_id), '[]') FROM group_members m WHERE m.device_id = d.id) AS groups,
        -- Two branches, not OR: each then goes by its own partial index.
        (SELECT coalesce(json_agg(${rule} ORDER BY r.created_at, r.id), '[]') FROM (
          SELECT r.* FROM topic_rules r WHERE r.device_id = d.id
          UNION ALL
          SELECT r.* FROM group_members m JOIN topic_rules r ON r.group_id = m.group_id WHERE m.device_id = d.id) r) AS rules
      FROM devices d JOIN tenants t ON t.id = d.tenant_id
      UNION ALL
      SELECT 'service', s.id, s.tenant_id, t.status, s.status, NULL, s.version + t.version, NULL, NULL, '[]',
        (SELECT coalesce(json_agg(${rule} ORDER BY r.created_at, r.id), '[]') FROM topic_rules r WHERE r.service_account_id = s.id)
      FROM service_accounts s JOIN tenants t ON t.id = s.tenant_id`);
    const roles = await rolesOf(runner);
    await runner.query(`GRANT SELECT ON subject_facts TO "${roles.app}", "${roles.gate}"`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP VIEW subject_facts');
    for (const table of ['topic_rules', 'service_accounts', 'group_members', 'groups', 'devices']) {
      await runner.query(`DROP TABLE ${table}`);
    }
    await runner.query('DROP FUNCTION devices_guard()');
  }
}
