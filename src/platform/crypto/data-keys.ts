import { randomBytes, randomUUID } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import type pg from 'pg';
import { CONFIG, type Config } from '../config/config.js';
import { Pools } from '../database/pools.js';
import { openBytes, sealBytes } from './sealing.js';

export interface DataKey {
  readonly id: string;
  readonly purpose: string;
  /** 32 bytes. */
  readonly key: Buffer;
}

/** Where a sealed value stands; all of it is authenticated with the value, so that no row can be swapped for another. */
export interface SealContext {
  readonly purpose: string;
  readonly table: string;
  readonly tenant: string | null;
  readonly row: string;
  readonly version: number;
}

interface DataKeyRow {
  id: string;
  purpose: string;
  master_kid: string;
  wrapped: Buffer;
  retired_at: Date | null;
}

/** First byte of a sealed value: its format. */
const FORMAT = 1;
const KEY_ID_BYTES = 16;

/**
 * Keys that seal values and key digests, one current key a purpose. Postgres keeps them wrapped by a master key
 * (`SECRETS_MASTER_KEYS`); they are unwrapped into memory once and never leave it.
 */
@Injectable()
export class DataKeys {
  private readonly byId = new Map<string, DataKey>();
  private readonly currentOf = new Map<string, DataKey>();

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly pools: Pools,
  ) {}

  /** The key that seals for this purpose now; made on first use. */
  async current(purpose: string): Promise<DataKey> {
    const known = this.currentOf.get(purpose);
    if (known) return known;
    const found = (await this.read(this.pools.gate, 'purpose = $1 AND retired_at IS NULL', purpose)) ?? (await this.create(purpose));
    this.currentOf.set(purpose, found);
    return found;
  }

  /** Any key that ever sealed, `null` if there is none with this id. */
  async find(id: string): Promise<DataKey | null> {
    return this.byId.get(id) ?? (await this.read(this.pools.gate, 'id = $1', id));
  }

  /** As `find`, without waiting: only what this process has unwrapped already. */
  peek(id: string): DataKey | undefined {
    return this.byId.get(id);
  }

  async seal(context: SealContext, plaintext: Buffer): Promise<Buffer> {
    const key = await this.current(context.purpose);
    const id = Buffer.from(key.id.replaceAll('-', ''), 'hex');
    return Buffer.concat([Buffer.from([FORMAT]), id, sealBytes(key.key, aad(context, key.id), plaintext)]);
  }

  /** @throws when the value was changed, moved to another row, or its key is not known. */
  async open(context: SealContext, sealed: Buffer): Promise<Buffer> {
    if (sealed[0] !== FORMAT) throw new Error('a sealed value has an unknown format');
    const hex = sealed.subarray(1, 1 + KEY_ID_BYTES).toString('hex');
    const id = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
    const key = await this.find(id);
    if (!key || key.purpose !== context.purpose) throw new Error(`no data key ${id} for ${context.purpose}`);
    return openBytes(key.key, aad(context, id), sealed.subarray(1 + KEY_ID_BYTES));
  }

  /**
   * Wraps every data key anew under the first master key, one statement each: it may be broken off at any moment and begun again.
   * What the keys sealed stays as it is. @returns how many were wrapped anew
   */
  async rewrap(onProgress: (done: number, total: number) => void = () => undefined): Promise<number> {
    const [master] = this.config.masterKeys;
    if (!master) throw new Error('no master key is configured');
    const { rows } = await this.pools.app.query<{ id: string }>('SELECT id FROM data_keys WHERE master_kid <> $1 ORDER BY created_at, id', [master.kid]);
    let done = 0;
    for (const { id } of rows) {
      const key = await this.read(this.pools.app, 'id = $1', id);
      if (!key) throw new Error(`the data key ${id} has vanished`);
      const wrapped = sealBytes(master.key, wrapContext(id, key.purpose, master.kid), key.key);
      await this.pools.app.query('UPDATE data_keys SET master_kid = $2, wrapped = $3 WHERE id = $1', [id, master.kid, wrapped]);
      done += 1;
      onProgress(done, rows.length);
    }
    return done;
  }

  private async create(purpose: string): Promise<DataKey> {
    const id = randomUUID();
    const [master] = this.config.masterKeys;
    if (!master) throw new Error('no master key is configured');
    const wrapped = sealBytes(master.key, wrapContext(id, purpose, master.kid), randomBytes(32));
    // Two instances may start at once: the unique index lets one of them win, and both then read the winner.
    await this.pools.app.query(
      `INSERT INTO data_keys (id, purpose, master_kid, wrapped) VALUES ($1, $2, $3, $4)
       ON CONFLICT (purpose) WHERE retired_at IS NULL DO NOTHING`,
      [id, purpose, master.kid, wrapped],
    );
    const key = await this.read(this.pools.app, 'purpose = $1 AND retired_at IS NULL', purpose);
    if (!key) throw new Error(`no data key for ${purpose}`);
    return key;
  }

  private async read(pool: pg.Pool, where: string, value: string): Promise<DataKey | null> {
    const { rows } = await pool.query<DataKeyRow>(
      `SELECT id, purpose, master_kid, wrapped, retired_at FROM data_keys WHERE ${where}`,
      [value],
    );
    const row = rows[0];
    if (!row) return null;
    const master = this.config.masterKeys.find((candidate) => candidate.kid === row.master_kid);
    if (!master) throw new Error(`SECRETS_MASTER_KEYS holds no key "${row.master_kid}", which wrapped the key for ${row.purpose}`);
    const key = { id: row.id, purpose: row.purpose, key: openBytes(master.key, wrapContext(row.id, row.purpose, row.master_kid), row.wrapped) };
    this.byId.set(key.id, key);
    return key;
  }
}

function aad(context: SealContext, keyId: string): string {
  return JSON.stringify(['v1', context.purpose, context.table, context.tenant, context.row, context.version, keyId]);
}

function wrapContext(id: string, purpose: string, kid: string): string {
  return JSON.stringify(['data-key', id, purpose, kid]);
}
