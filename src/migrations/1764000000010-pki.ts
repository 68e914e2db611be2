import type { MigrationInterface, QueryRunner } from 'typeorm';
import { secureTable } from '../platform/database/row-security.js';

/** Authorities with sealed keys, the certificates that they issued, the lists of those revoked, and the keys seen so far. */
export class Pki1764000000010 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE certificate_authorities (
        id uuid PRIMARY KEY,
        tenant_id uuid REFERENCES tenants (id),
        kind text NOT NULL CHECK (kind IN ('root', 'issuing', 'responder')),
        parent_id uuid REFERENCES certificate_authorities (id),
        key_type text NOT NULL CHECK (key_type IN ('EC', 'RSA')),
        certificate bytea NOT NULL,
        serial text NOT NULL,
        key_handle bytea,
        not_before timestamptz NOT NULL,
        not_after timestamptz NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        retired_at timestamptz,
        crl_number bigint NOT NULL DEFAULT 0,
        revoked_at timestamptz,
        revoke_reason text,
        CONSTRAINT certificate_authorities_place CHECK (CASE kind WHEN 'root' THEN tenant_id IS NULL AND parent_id IS NULL
          WHEN 'issuing' THEN tenant_id IS NOT NULL AND parent_id IS NOT NULL ELSE parent_id IS NOT NULL END)
      )`);
    // One that issues, for the installation and for each tenant: of several that make the first one, one wins.
    await runner.query(`CREATE UNIQUE INDEX certificate_authorities_root ON certificate_authorities ((true)) WHERE kind = 'root' AND retired_at IS NULL`);
    await runner.query(`CREATE UNIQUE INDEX certificate_authorities_issuing ON certificate_authorities (tenant_id) WHERE kind = 'issuing' AND retired_at IS NULL`);
    await runner.query(`CREATE UNIQUE INDEX certificate_authorities_responder ON certificate_authorities (parent_id) WHERE kind = 'responder' AND retired_at IS NULL`);
    await secureTable(runner, 'certificate_authorities', {
      app: 'SELECT, INSERT, UPDATE',
      gate: 'SELECT (id, tenant_id, kind, parent_id, key_type, certificate, serial, not_before, not_after, created_at, retired_at, crl_number, revoked_at)',
      reader: 'SELECT (id, tenant_id, kind, parent_id, key_type, certificate, serial, not_before, not_after, created_at, retired_at, crl_number, revoked_at)',
      visible: 'tenant_id IS NULL OR tenant_id = current_tenant()',
    });
    await runner.query(`
      CREATE TABLE certificates (
        tenant_id uuid NOT NULL REFERENCES tenants (id),
        id uuid PRIMARY KEY,
        authority_id uuid NOT NULL REFERENCES certificate_authorities (id),
        serial text NOT NULL CONSTRAINT certificates_serial_key UNIQUE CHECK (serial ~ '^[4-7][0-9a-f]{39}$'),
        profile text NOT NULL CHECK (profile IN ('device', 'service', 'server')),
        device_id uuid,
        service_account_id uuid,
        certificate bytea NOT NULL,
        fingerprint text NOT NULL,
        public_key_hash bytea NOT NULL,
        not_before timestamptz NOT NULL,
        not_after timestamptz NOT NULL,
        parent_id uuid,
        credential_id uuid,
        requested_from inet,
        created_at timestamptz NOT NULL DEFAULT now(),
        superseded_at timestamptz,
        ends_at timestamptz,
        first_used_at timestamptz,
        last_used_at timestamptz,
        revoked_at timestamptz,
        revoke_reason text,
        crl_entry bytea,
        crl_first bigint,
        crl_last bigint,
        warned text[] NOT NULL DEFAULT '{}',
        CONSTRAINT certificates_tenant_id_key UNIQUE (tenant_id, id),
        CONSTRAINT certificates_one_owner CHECK (num_nonnulls(device_id, service_account_id) = CASE profile WHEN 'server' THEN 0 ELSE 1 END),
        CONSTRAINT certificates_revoked CHECK ((revoked_at IS NULL) = (crl_entry IS NULL) AND (revoked_at IS NULL) = (revoke_reason IS NULL)),
        CONSTRAINT certificates_device_fkey FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, id),
        CONSTRAINT certificates_service_fkey FOREIGN KEY (tenant_id, service_account_id) REFERENCES service_accounts (tenant_id, id),
        CONSTRAINT certificates_parent_fkey FOREIGN KEY (tenant_id, parent_id) REFERENCES certificates (tenant_id, id)
      )`);
    await runner.query('CREATE INDEX certificates_device ON certificates (device_id, created_at, id) WHERE device_id IS NOT NULL');
    await runner.query('CREATE INDEX certificates_service ON certificates (service_account_id) WHERE service_account_id IS NOT NULL');
    await runner.query('CREATE INDEX certificates_parent ON certificates (parent_id) WHERE parent_id IS NOT NULL');
    await runner.query('CREATE INDEX certificates_credential ON certificates (credential_id) WHERE credential_id IS NOT NULL');
    await runner.query('CREATE INDEX certificates_listed ON certificates (authority_id, id) WHERE crl_entry IS NOT NULL');
    await runner.query('CREATE INDEX certificates_unlisted ON certificates (authority_id) WHERE crl_entry IS NOT NULL AND crl_first IS NULL');
    await runner.query('CREATE INDEX certificates_ending ON certificates (not_after) WHERE revoked_at IS NULL AND superseded_at IS NULL');
    // What was signed never changes, and a revocation is never undone.
    await runner.query(`
      CREATE FUNCTION certificates_guard() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF (NEW.id, NEW.tenant_id, NEW.authority_id, NEW.serial, NEW.certificate, NEW.device_id, NEW.service_account_id, NEW.not_after)
            IS DISTINCT FROM (OLD.id, OLD.tenant_id, OLD.authority_id, OLD.serial, OLD.certificate, OLD.device_id, OLD.service_account_id, OLD.not_after)
            OR OLD.revoked_at IS NOT NULL AND (NEW.revoked_at, NEW.revoke_reason, NEW.crl_entry) IS DISTINCT FROM (OLD.revoked_at, OLD.revoke_reason, OLD.crl_entry) THEN
          RAISE EXCEPTION 'a certificate does not change, and a revocation stays' USING ERRCODE = 'check_violation', CONSTRAINT = 'certificates_fixed';
        END IF;
        RETURN NEW;
      END $$`);
    await runner.query('CREATE TRIGGER certificates_guard BEFORE UPDATE ON certificates FOR EACH ROW EXECUTE FUNCTION certificates_guard()');
    await secureTable(runner, 'certificates', { app: 'SELECT, INSERT, UPDATE', gate: 'SELECT', reader: 'SELECT' });
    // Keys are known across tenants, though nobody sees those of another: an insert that meets one says so.
    await runner.query(`
      CREATE TABLE certified_keys (
        hash bytea PRIMARY KEY,
        tenant_id uuid NOT NULL REFERENCES tenants (id),
        owner_id uuid NOT NULL,
        first_seen_at timestamptz NOT NULL DEFAULT now()
      )`);
    await secureTable(runner, 'certified_keys', { app: 'SELECT, INSERT', reader: 'SELECT' });
    await runner.query(`
      CREATE TABLE crls (
        authority_id uuid NOT NULL REFERENCES certificate_authorities (id) ON DELETE CASCADE,
        number bigint NOT NULL,
        this_update timestamptz NOT NULL,
        next_update timestamptz NOT NULL,
        entries integer NOT NULL,
        der bytea NOT NULL,
        PRIMARY KEY (authority_id, number)
      )`);
    await secureTable(runner, 'crls', { app: 'SELECT, INSERT, DELETE', gate: 'SELECT', reader: 'SELECT', visible: 'true' });
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE crls');
    await runner.query('DROP TABLE certified_keys');
    await runner.query('DROP TABLE certificates');
    await runner.query('DROP FUNCTION certificates_guard()');
    await runner.query('DROP TABLE certificate_authorities');
  }
}
