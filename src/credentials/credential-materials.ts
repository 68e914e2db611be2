import { Injectable, type OnModuleInit } from '@nestjs/common';
import type { Facts } from '../devices/facts.js';
import { Clock } from '../platform/clock/clock.js';
import { DataKeys } from '../platform/crypto/data-keys.js';
import { isStoreUnavailable } from '../platform/database/database-errors.js';
import { Pools } from '../platform/database/pools.js';
import { EnvelopeSealer } from '../platform/redis/cache-envelope.js';
import { KeyValueStore } from '../platform/redis/key-value.js';
import { Lru } from '../platform/redis/lru.js';
import { logger } from '../platform/telemetry/logger.js';
import type { CredentialMaterial, PlainMaterial, SecretMaterial } from './credential-material.js';

/** Whose material is wanted, and the version of the facts that stand beside it. */
export type MaterialOwner = Pick<Facts, 'kind' | 'id' | 'version'>;

interface Row {
  readonly id: string;
  readonly kind: 'secret' | 'token';
  readonly digest: Buffer | null;
  readonly data_key_id: string | null;
  readonly not_before: Date;
  readonly expires_at: Date | null;
  readonly revoked_at: Date | null;
  readonly live: boolean;
}

interface Flight {
  readonly version: number;
  readonly material: Promise<CredentialMaterial>;
}

const MAX_ENTRIES = 16_000;
/** Ended secrets that are still recognised; each costs an HMAC, but only where no live one fits. */
const MAX_ENDED = 5;
/** An entry of the shared store is good for its version for ever; it goes when nobody has asked for this long. */
const STORE_TTL_MS = 6 * 3_600_000;
/** After Postgres failed it is left alone this long. */
const FAILURE_PAUSE_MS = 500;

const COLUMNS = 'id, kind, digest, data_key_id, not_before, expires_at, revoked_at';
const LIVE = 'revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)';

function statement(kind: Facts['kind']): { name: string; text: string } {
  const owner = kind === 'device' ? 'device_id = $1' : 'service_account_id = $1';
  return {
    name: `credentials-of-${kind}`,
    text: `SELECT ${COLUMNS}, true AS live FROM credentials WHERE ${owner} AND kind = 'secret' AND ${LIVE}
      UNION ALL (SELECT ${COLUMNS}, false FROM credentials WHERE ${owner} AND kind = 'secret' AND NOT (${LIVE})
        ORDER BY created_at DESC, id LIMIT ${MAX_ENDED})
      UNION ALL SELECT ${COLUMNS}, false FROM credentials
        WHERE ${owner} AND kind = 'token' AND revoked_at IS NOT NULL AND expires_at > $2`,
  };
}

const STATEMENTS = { device: statement('device'), service: statement('service') } as const;

/**
 * Material by owner: process memory → shared store → one SQL statement. Every change of an owner's credentials raises the version
 * of its facts in the same transaction, so material is good for facts of its own version or an older one, and never for newer
 * ones. It has no time to live: who holds current facts cannot be served outdated material.
 */
@Injectable()
export class CredentialMaterials implements OnModuleInit {
  private readonly memory = new Lru<string, CredentialMaterial>(MAX_ENTRIES);
  private readonly flights = new Map<string, Flight>();
  private sealer: EnvelopeSealer | undefined;
  private pausedUntil = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly clock: Clock,
    private readonly store: KeyValueStore,
    private readonly keys: DataKeys,
    private readonly pools: Pools,
  ) {}

  async onModuleInit(): Promise<void> {
    this.sealer = new EnvelopeSealer('credentials:1', (await this.keys.current('credentials-mac')).key);
  }

  /** What this process has at hand for these facts; no promise, no I/O. */
  peek({ kind, id, version }: MaterialOwner): CredentialMaterial | undefined {
    const held = this.memory.get(keyOf(kind, id));
    return held !== undefined && held.version >= version ? held : undefined;
  }

  /** @throws when neither the shared store nor Postgres can tell. */
  load(owner: MaterialOwner): Promise<CredentialMaterial> {
    const key = keyOf(owner.kind, owner.id);
    const flying = this.flights.get(key);
    // A look-up that was begun for older facts may have read what a newer version changed.
    if (flying !== undefined && flying.version >= owner.version) return flying.material;
    const material = this.lookUp(key, owner).finally(() => {
      if (this.flights.get(key) === flight) this.flights.delete(key);
    });
    const flight: Flight = { version: owner.version, material };
    this.flights.set(key, flight);
    return material;
  }

  private async lookUp(key: string, owner: MaterialOwner): Promise<CredentialMaterial> {
    const stored = await this.fromStore(key, owner.version);
    if (stored !== null) return this.remember(key, await this.open(stored.version, stored.plain));
    const plain = await this.fromSource(owner);
    this.share(key, owner.version, plain);
    return this.remember(key, await this.open(owner.version, plain));
  }

  private async fromSource({ kind, id }: MaterialOwner): Promise<PlainMaterial> {
    const now = this.clock.now();
    if (now < this.pausedUntil) throw new Error('Postgres did not answer a moment ago');
    try {
      const { rows } = await this.pools.gate.query<Row>({ ...STATEMENTS[kind], values: [id, new Date(now)] });
      return toPlain(rows);
    } catch (error) {
      if (isStoreUnavailable(error)) this.pausedUntil = this.clock.now() + FAILURE_PAUSE_MS;
      logger.warn({ err: error }, 'credentials could not be read');
      throw error;
    }
  }

  private async fromStore(key: string, version: number): Promise<{ version: number; plain: PlainMaterial } | null> {
    if (!this.store.shared || !this.store.available || this.sealer === undefined) return null;
    const storeKey = this.sealer.key(key);
    try {
      const held = await this.store.readVersioned(storeKey);
      if (held === null || held.value === null || held.version < version) return null;
      const envelope = this.sealer.open(storeKey, held.version, held.value);
      return envelope === null ? null : { version: held.version, plain: JSON.parse(envelope.text) as PlainMaterial };
    } catch {
      return null;
    }
  }

  /** Not awaited: an answer never waits for the store to take it. */
  private share(key: string, version: number, plain: PlainMaterial): void {
    if (!this.store.shared || !this.store.available || this.sealer === undefined) return;
    const storeKey = this.sealer.key(key);
    const sealed = this.sealer.seal(storeKey, version, { confirmedAt: this.clock.now(), text: JSON.stringify(plain) });
    this.store.writeIfNewer(storeKey, version, sealed, STORE_TTL_MS).catch(() => undefined);
  }

  private async open(version: number, { secrets, revoked }: PlainMaterial): Promise<CredentialMaterial> {
    const live: SecretMaterial[] = [];
    const ended: SecretMaterial[] = [];
    for (const { id, keyId, digest, live: isLive, notBefore, expiresAt, revoked: isRevoked } of secrets) {
      const dataKey = this.keys.peek(keyId) ?? (await this.keys.find(keyId));
      if (dataKey === null) throw new Error(`no data key ${keyId} for the secret ${id}`);
      // Without a spread: its results have each a hidden class of their own.
      const secret = { credentialId: id, key: dataKey.key, digest: Buffer.from(digest, 'base64'), notBefore, expiresAt, revoked: isRevoked };
      (isLive ? live : ended).push(secret);
    }
    return { version, live, ended, revoked: new Set(revoked) };
  }

  private remember(key: string, material: CredentialMaterial): CredentialMaterial {
    const held = this.memory.peek(key);
    if (held !== undefined && held.version > material.version) return held;
    this.memory.set(key, material);
    return material;
  }
}

/** A device's own id: putting a new text together for each question costs more than looking it up. */
function keyOf(kind: Facts['kind'], id: string): string {
  return kind === 'device' ? id : `${kind}:${id}`;
}

function toPlain(rows: readonly Row[]): PlainMaterial {
  const secrets = rows.flatMap((row) => (row.digest === null || row.data_key_id === null
    ? []
    : [{
      id: row.id,
      keyId: row.data_key_id,
      digest: row.digest.toString('base64'),
      notBefore: row.not_before.getTime(),
      expiresAt: row.expires_at === null ? null : row.expires_at.getTime(),
      revoked: row.revoked_at !== null,
      live: row.live,
    }]));
  return { secrets, revoked: rows.filter((row) => row.kind === 'token').map((row) => row.id) };
}
