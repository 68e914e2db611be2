import { Injectable, type OnModuleInit } from '@nestjs/common';
import type { Facts } from '../devices/facts.js';
import { Clock } from '../platform/clock/clock.js';
import { DataKeys } from '../platform/crypto/data-keys.js';
import { Pools } from '../platform/database/pools.js';
import { Transactions } from '../platform/database/transactions.js';
import { EnvelopeSealer } from '../platform/redis/cache-envelope.js';
import { KeyValueStore } from '../platform/redis/key-value.js';
import { Lru } from '../platform/redis/lru.js';
import { logger } from '../platform/telemetry/logger.js';
import { sealContext, type DeviceSecret, type SealedSecret } from './device-secret.js';
import { DeviceSecretsRepository } from './device-secrets.repository.js';

/** Whose secrets are wanted, and the version of the facts beside which they are used. */
export type SecretsOwner = Pick<Facts, 'id' | 'tenantId' | 'version'>;

interface Held {
  readonly version: number;
  readonly secrets: readonly DeviceSecret[];
}

interface Row {
  readonly id: string;
  readonly tenant_id: string;
  readonly sealed: Buffer;
  readonly expires_at: Date | null;
}

/** As the shared store keeps it: base64 of what Postgres keeps. */
type Plain = readonly { readonly id: string; readonly tenantId: string; readonly sealed: string; readonly expiresAt: number | null }[];

const MAX_ENTRIES = 20_000;
const STORE_TTL_MS = 6 * 3_600_000;
const LIVE = 'device_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)';
const VERIFYING = {
  name: 'hmac-secrets',
  text: `SELECT id, tenant_id, sealed, expires_at FROM device_secrets WHERE ${LIVE} ORDER BY created_at DESC, id`,
} as const;
/** The newest that the device is known to have; while it has proven none, the newest. */
const SIGNING = `SELECT id, tenant_id, sealed, expires_at FROM device_secrets WHERE ${LIVE}
  ORDER BY (proven_at IS NOT NULL) DESC, created_at DESC, id LIMIT 1`;

/**
 * Secrets of a device for the message path: process memory → shared store (still sealed) → one SQL statement. Every change raises
 * the version of the device's facts in its own transaction, so what was read is good for facts of its own version or an older one;
 * it needs no time to live.
 */
@Injectable()
export class DeviceSecretsGate implements OnModuleInit {
  private readonly memory = new Lru<string, Held>(MAX_ENTRIES);
  private readonly flights = new Map<string, Promise<readonly DeviceSecret[]>>();
  private readonly proven = new Lru<string, true>(MAX_ENTRIES);
  private sealer: EnvelopeSealer | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly store: KeyValueStore,
    private readonly keys: DataKeys,
    private readonly pools: Pools,
    private readonly transactions: Transactions,
    private readonly repository: DeviceSecretsRepository,
  ) {}

  async onModuleInit(): Promise<void> {
    this.sealer = new EnvelopeSealer('hmac-secrets:1', (await this.keys.current('hmac-secrets-mac')).key);
  }

  /** What this process has at hand for these facts; no promise, no I/O. Expired ones may be among them. */
  peek({ id, version }: SecretsOwner): readonly DeviceSecret[] | undefined {
    const held = this.memory.get(id);
    return held !== undefined && held.version >= version ? held.secrets : undefined;
  }

  /** Secrets that verify, newest first. @throws when neither the shared store nor Postgres can tell. */
  secrets(owner: SecretsOwner): Promise<readonly DeviceSecret[]> {
    const known = this.peek(owner);
    if (known !== undefined) return Promise.resolve(known);
    const flightKey = `${owner.id}:${owner.version}`;
    const flying = this.flights.get(flightKey);
    if (flying !== undefined) return flying;
    const flight = this.lookUp(owner).finally(() => this.flights.delete(flightKey));
    this.flights.set(flightKey, flight);
    return flight;
  }

  /** With what a message to the device is signed now; null: the device has no secret. Asked of Postgres each time. */
  async signer(deviceId: string): Promise<DeviceSecret | null> {
    const { rows } = await this.pools.gate.query<Row>(SIGNING, [deviceId, new Date(this.clock.now())]);
    const [row] = rows;
    return row === undefined ? null : this.open(sealedOf(row));
  }

  /** A message verified under this secret: the device has it. Not awaited by who judges messages; never throws. */
  async noteProven(owner: SecretsOwner, secretId: string): Promise<void> {
    if (this.proven.get(secretId)) return;
    this.proven.set(secretId, true);
    try {
      await this.transactions.run({ tenantId: owner.tenantId }, (tx) =>
        this.repository.markProven(tx, owner, secretId, new Date(this.clock.now())));
    } catch (error) {
      this.proven.delete(secretId);
      logger.warn({ err: error, deviceId: owner.id }, 'that a device has its newest secret could not be noted');
    }
  }

  private async lookUp(owner: SecretsOwner): Promise<readonly DeviceSecret[]> {
    const stored = await this.fromStore(owner);
    if (stored !== null) return this.remember(owner.id, stored.version, stored.sealed);
    const { rows } = await this.pools.gate.query<Row>({ ...VERIFYING, values: [owner.id, new Date(this.clock.now())] });
    const sealed = rows.map(sealedOf);
    this.share(owner, sealed);
    return this.remember(owner.id, owner.version, sealed);
  }

  private async remember(id: string, version: number, sealed: readonly SealedSecret[]): Promise<readonly DeviceSecret[]> {
    const secrets = await Promise.all(sealed.map((secret) => this.open(secret)));
    const held = this.memory.peek(id);
    if (held !== undefined && held.version > version) return held.secrets;
    this.memory.set(id, { version, secrets });
    return secrets;
  }

  private async open({ id, tenantId, sealed, expiresAt }: SealedSecret): Promise<DeviceSecret> {
    return { id, key: await this.keys.open(sealContext(tenantId, id), sealed), expiresAt };
  }

  private async fromStore({ id, version }: SecretsOwner): Promise<{ version: number; sealed: readonly SealedSecret[] } | null> {
    if (!this.store.shared || !this.store.available || this.sealer === undefined) return null;
    const key = this.sealer.key(id);
    try {
      const held = await this.store.readVersioned(key);
      if (held === null || held.value === null || held.version < version) return null;
      const envelope = this.sealer.open(key, held.version, held.value);
      if (envelope === null) return null;
      const plain = JSON.parse(envelope.text) as Plain;
      return { version: held.version, sealed: plain.map((one) => ({ ...one, sealed: Buffer.from(one.sealed, 'base64') })) };
    } catch {
      return null;
    }
  }

  private share({ id, version }: SecretsOwner, sealed: readonly SealedSecret[]): void {
    if (!this.store.shared || !this.store.available || this.sealer === undefined) return;
    const key = this.sealer.key(id);
    const plain: Plain = sealed.map((one) => ({ ...one, sealed: one.sealed.toString('base64') }));
    const value = this.sealer.seal(key, version, { confirmedAt: this.clock.now(), text: JSON.stringify(plain) });
    this.store.writeIfNewer(key, version, value, STORE_TTL_MS).catch(() => undefined);
  }
}

function sealedOf(row: Row): SealedSecret {
  return { id: row.id, tenantId: row.tenant_id, sealed: row.sealed, expiresAt: row.expires_at?.getTime() ?? null };
}
