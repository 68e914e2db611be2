import type { MigrationInterface, QueryRunner } from 'typeorm';
import { secureTable } from '../platform/database/row-security.js';

/** HMAC secrets of devices, commands to them, and what the message gateway is. */
export class DeviceSecrets1764000000020 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE device_secrets (
        tenant_id uuid NOT NULL,
        id uuid PRIMARY KEY,
        device_id uuid NOT NULL,
        sealed bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz,
        superseded_at timestamptz,
        revoked_at timestamptz,
        revoke_reason text,
        -- When a message of the device verified under it for the first time: only then is the device known to have it.
        proven_at timestamptz,
        CONSTRAINT device_secrets_device_fkey FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, id)
      )`);
    await runner.query('CREATE INDEX device_secrets_device ON device_secrets (device_id, created_at)');
    await secureTable(runner, 'device_secrets', {
      app: 'SELECT, INSERT, UPDATE',
      gate: 'SELECT',
      reader: 'SELECT (tenant_id, id, device_id, created_at, expires_at, superseded_at, revoked_at, revoke_reason, proven_at)',
    });
    // Of the last verified status message, so that an older one that comes late changes nothing.
    await runner.query('ALTER TABLE devices ADD COLUMN reported_at timestamptz');
    await runner.query(`
      CREATE TABLE commands (
        tenant_id uuid NOT NULL,
        id uuid PRIMARY KEY,
        device_id uuid NOT NULL,
        type text NOT NULL,
        payload jsonb NOT NULL,
        status text NOT NULL DEFAULT 'PENDING' CHECK (status IN ('PENDING', 'SENT', 'ACKED', 'FAILED', 'EXPIRED', 'CANCELLED')),
        error text,
        created_by text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz NOT NULL,
        attempts integer NOT NULL DEFAULT 0,
        next_attempt_at timestamptz NOT NULL,
        sent_at timestamptz,
        ended_at timestamptz,
        CONSTRAINT commands_device_fkey FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, id)
      )`);
    await runner.query('CREATE INDEX commands_page ON commands (device_id, created_at, id)');
    await runner.query(`CREATE INDEX commands_open ON commands (next_attempt_at) WHERE status IN ('PENDING', 'SENT')`);
    await runner.query(`CREATE INDEX commands_open_of ON commands (device_id) WHERE status IN ('PENDING', 'SENT')`);
    await secureTable(runner, 'commands', { app: 'SELECT, INSERT, UPDATE', gate: 'SELECT', reader: 'SELECT' });
    await runner.query(`
      CREATE TABLE message_gateway (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        tenant_id uuid NOT NULL,
        service_account_id uuid NOT NULL,
        secret_sealed bytea NOT NULL,
        share_group text NOT NULL,
        CONSTRAINT message_gateway_account_fkey FOREIGN KEY (tenant_id, service_account_id) REFERENCES service_accounts (tenant_id, id)
      )`);
    await secureTable(runner, 'message_gateway', { app: 'SELECT, INSERT, UPDATE' });
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE message_gateway');
    await runner.query('DROP TABLE commands');
    await runner.query('ALTER TABLE devices DROP COLUMN reported_at');
    await runner.query('DROP TABLE device_secrets');
  }
}
