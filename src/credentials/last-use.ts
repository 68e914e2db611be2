import { Injectable, type BeforeApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import type { PoolClient } from 'pg';
import { Pools } from '../platform/database/pools.js';
import { logger } from '../platform/telemetry/logger.js';

const FLUSH_MS = 5_000;
/** Beyond this, uses of further credentials are forgotten until the next flush. */
const MAX_NOTED = 20_000;
const BATCH = 1_000;

interface Use {
  readonly tenantId: string;
  /** Milliseconds. */
  readonly at: number;
}

/** When each credential was used last: noted in memory, written every five seconds and at shutdown. */
@Injectable()
export class LastUse implements OnModuleInit, BeforeApplicationShutdown {
  private noted = new Map<string, Use>();
  private timer: NodeJS.Timeout | undefined;
  private flushing: Promise<void> | null = null;

  constructor(private readonly pools: Pools) {}

  onModuleInit(): void {
    this.timer = setInterval(() => void this.flush(), FLUSH_MS);
    this.timer.unref();
  }

  async beforeApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    await this.flush();
    // What was noted while an earlier flush was under way.
    await this.flush();
  }

  /** Never waits and never fails. */
  note(credentialId: string, tenantId: string, at: number): void {
    if (this.noted.size >= MAX_NOTED && !this.noted.has(credentialId)) return;
    this.noted.set(credentialId, { tenantId, at });
  }

  /** Writes what was noted. What cannot be written is kept for the next time. */
  flush(): Promise<void> {
    this.flushing ??= this.write().finally(() => (this.flushing = null));
    return this.flushing;
  }

  private async write(): Promise<void> {
    if (this.noted.size === 0) return;
    const uses = this.noted;
    this.noted = new Map();
    for (const [tenantId, entries] of byTenant(uses)) {
      for (let from = 0; from < entries.length; from += BATCH) {
        const batch = entries.slice(from, from + BATCH);
        await this.writeBatch(tenantId, batch).catch((error: unknown) => {
          logger.warn({ err: error }, 'last uses of credentials could not be written');
          for (const [id, use] of batch) if (!this.noted.has(id)) this.note(id, use.tenantId, use.at);
        });
      }
    }
  }

  private async writeBatch(tenantId: string, batch: readonly [string, Use][]): Promise<void> {
    const client = await this.pools.app.connect();
    // Without a listener a connection that is lost while we have it would end the process; the statement fails by itself.
    client.on('error', ignore);
    try {
      await client.query('BEGIN');
      await client.query(`SELECT set_config('app.tenant', $1, true)`, [tenantId]);
      await this.update(client, batch);
      await client.query('COMMIT');
      client.off('error', ignore);
      client.release();
    } catch (error) {
      // The connection may be in the middle of a transaction: it is not given back.
      client.release(true);
      throw error;
    }
  }

  /** Rows are locked in one order, so that two instances do not wait for each other; what somebody else holds waits for the next use. */
  private async update(client: PoolClient, batch: readonly [string, Use][]): Promise<void> {
    await client.query(
      `WITH used AS (SELECT * FROM unnest($1::uuid[], $2::timestamptz[]) AS u(id, at)),
         held AS (SELECT c.id FROM credentials c JOIN used USING (id) ORDER BY c.id FOR NO KEY UPDATE OF c SKIP LOCKED)
       UPDATE credentials c SET last_used_at = greatest(coalesce(c.last_used_at, used.at), used.at)
         FROM used JOIN held USING (id) WHERE c.id = used.id`,
      [batch.map(([id]) => id), batch.map(([, { at }]) => new Date(at))],
    );
  }
}

function ignore(): void {
  // See where it is used.
}

function byTenant(uses: ReadonlyMap<string, Use>): Map<string, [string, Use][]> {
  const tenants = new Map<string, [string, Use][]>();
  for (const entry of uses) {
    const entries = tenants.get(entry[1].tenantId);
    if (entries) entries.push(entry);
    else tenants.set(entry[1].tenantId, [entry]);
  }
  return tenants;
}
