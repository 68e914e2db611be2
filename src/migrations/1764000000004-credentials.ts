import type { MigrationInterface, QueryRunner } from 'typeorm';
import { secureTable } from '../platform/database/row-security.js';

/** What devices and service accounts prove themselves with, and the keys that sign device tokens. */
export class Credentials1764000000004 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE credentials (
        tenant_id uuid NOT NULL REFERENCES tenants (id),
        id uuid PRIMARY KEY,
        device_id uuid,
        service_account_id uuid,
        kind text NOT NULL CHECK (kind IN ('secret', 'token')),
        digest bytea,
        data_key_id uuid REFERENCES data_keys (id),
        parent_id uuid,
        created_at timestamptz NOT NULL DEFAULT now(),
        not_before timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz,
        superseded_at timestamptz,
        revoked_at timestamptz,
        revoke_reason text,
        last_used_at timestamptz,
        CONSTRAINT credentials_tenant_id_key UNIQUE (tenant_id, id),
        CONSTRAINT credentials_one_owner CHECK (num_nonnulls(device_id, service_account_id) = 1),
        CONSTRAINT credentials_secret CHECK ((kind = 'secret') = (digest IS NOT NULL AND data_key_id IS NOT NULL)),
        CONSTRAINT credentials_token_ends CHECK (kind <> 'token' OR expires_at IS NOT NULL),
        CONSTRAINT credentials_device_fkey FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, id),
        CONSTRAINT credentials_service_fkey FOREIGN KEY (tenant_id, service_account_id) REFERENCES service_accounts (tenant_id, id),
        CONSTRAINT credentials_parent_fkey FOREIGN KEY (tenant_id, parent_id) REFERENCES credentials (tenant_id, id)
      )`);
    await runner.query('CREATE INDEX credentials_device ON credentials (device_id, created_at) WHERE device_id IS NOT NULL');
    await runner.query('CREATE INDEX credentials_service ON credentials (service_account_id) WHERE service_account_id IS NOT NULL');
    await runner.query('CREATE INDEX credentials_parent ON credentials (parent_id) WHERE parent_id IS NOT NULL');
    await secureTable(runner, 'credentials', { app: 'SELECT, INSERT, UPDATE, DELETE', gate: 'SELECT', reader: 'SELECT' });
    await runner.query(`
      CREATE TABLE signing_keys (
        kid text PRIMARY KEY,
        algorithm text NOT NULL CHECK (algorithm = 'ES256'),
        public_jwk jsonb NOT NULL,
        private_sealed bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        signs_from timestamptz NOT NULL,
        retired_at timestamptz,
        verifies_until timestamptz
      )`);
    // Keys of the installation: one at a time signs, decided under a lock.
    await runner.query('CREATE UNIQUE INDEX signing_keys_current ON signing_keys ((true)) WHERE retired_at IS NULL');
    await secureTable(runner, 'signing_keys', {
      app: 'SELECT, INSERT, UPDATE',
      gate: 'SELECT (kid, algorithm, public_jwk, created_at, signs_from, retired_at, verifies_until)',
      visible: 'true',
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE signing_keys');
    await runner.query('DROP TABLE credentials');
  }
}
