import { Injectable } from '@nestjs/common';
import type { PoolClient } from 'pg';
import { Pools } from '../platform/database/pools.js';
import { WriteBehind } from '../platform/database/write-behind.js';

interface Use {
  readonly tenantId: string;
  /** Milliseconds. */
  readonly at: number;
}

/** When each credential was used last: noted in memory, written every five seconds and at shutdown. */
@Injectable()
export class LastUse extends WriteBehind<Use> {
  constructor(private readonly pools: Pools) {
    super({ what: 'last uses of credentials', everyMs: 5_000, most: 20_000, batch: 1_000 });
  }

  /** Never waits and never fails. */
  note(credentialId: string, tenantId: string, at: number): void {
    this.keep(credentialId, { tenantId, at });
  }

  protected async write(tenantId: string, uses: ReadonlyMap<string, Use>): Promise<void> {
    const client = await this.pools.app.connect();
    // Without a listener a connection that is lost while we have it would end the process; the statement fails by itself.
    client.on('error', ignore);
    try {
      await client.query('BEGIN');
      await client.query(`SELECT set_config('app.tenant', $1, true)`, [tenantId]);
      await this.update(client, uses);
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
  private async update(client: PoolClient, uses: ReadonlyMap<string, Use>): Promise<void> {
    await client.query(
      `WITH used AS (SELECT * FROM unnest($1::uuid[], $2::timestamptz[]) AS u(id, at)),
         held AS (SELECT c.id FROM credentials c JOIN used USING (id) ORDER BY c.id FOR NO KEY UPDATE OF c SKIP LOCKED)
       UPDATE credentials c SET last_used_at = greatest(coalesce(c.last_used_at, used.at), used.at)
         FROM used JOIN held USING (id) WHERE c.id = used.id`,
      [[...uses.keys()], [...uses.values()].map(({ at }) => new Date(at))],
    );
  }
}

function ignore(): void {
  // See where it is used.
}
