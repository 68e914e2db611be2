import { Injectable } from '@nestjs/common';
import { Pools } from '../platform/database/pools.js';
import type { Transaction } from '../platform/database/transactions.js';

/** Whose key it is; with the key, the name of a row. */
export interface KeyName {
  readonly tenantId: string;
  /** `kind:id` */
  readonly principal: string;
  readonly key: string;
}

export interface KeyRow {
  readonly route: string;
  readonly bodyHash: Buffer;
  /** The request that may answer. */
  readonly owner: string;
  readonly createdAt: Date;
  readonly lockedUntil: Date;
  /** `null`: not answered. */
  readonly statusCode: number | null;
  /** Sealed; `null`: not answered, or its secret has been wiped. */
  readonly answer: Buffer | null;
  readonly holdsSecret: boolean;
}

type NewKey = Pick<KeyRow, 'route' | 'bodyHash' | 'owner' | 'createdAt' | 'lockedUntil'>;

const NAMED = 'tenant_id = $1 AND principal = $2 AND key = $3';

/** The only SQL that knows the table. */
@Injectable()
export class IdempotencyRepository {
  constructor(private readonly pools: Pools) {}

  /** `false` when there is such a row; waits for another request that is inserting it right now. */
  async insert(tx: Transaction, name: KeyName, row: NewKey): Promise<boolean> {
    const made = await tx.query<{ owner: string }>(
      `INSERT INTO idempotency_keys (tenant_id, principal, key, route, body_hash, owner, created_at, locked_until)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (tenant_id, principal, key) DO NOTHING RETURNING owner`,
      [...named(name), row.route, row.bodyHash, row.owner, row.createdAt, row.lockedUntil],
    );
    return made.length > 0;
  }

  async lock(tx: Transaction, name: KeyName): Promise<KeyRow | null> {
    const rows = await tx.query<KeyRow>(
      `SELECT route, body_hash AS "bodyHash", owner, created_at AS "createdAt", locked_until AS "lockedUntil",
              status_code AS "statusCode", answer, holds_secret AS "holdsSecret"
         FROM idempotency_keys WHERE ${NAMED} FOR UPDATE`,
      named(name),
    );
    return rows[0] ?? null;
  }

  /** Hands a locked row to a new request. */
  async takeOver(tx: Transaction, name: KeyName, row: NewKey): Promise<void> {
    await tx.query(
      `UPDATE idempotency_keys SET route = $4, body_hash = $5, owner = $6, created_at = $7, locked_until = $8,
              status_code = NULL, answer = NULL, holds_secret = false WHERE ${NAMED}`,
      [...named(name), row.route, row.bodyHash, row.owner, row.createdAt, row.lockedUntil],
    );
  }

  async extend(tx: Transaction, name: KeyName, owner: string, lockedUntil: Date): Promise<void> {
    await tx.query(
      `UPDATE idempotency_keys SET locked_until = $5 WHERE ${NAMED} AND owner = $4`,
      [...named(name), owner, lockedUntil],
    );
  }

  async answer(
    tx: Transaction,
    name: KeyName,
    owner: string,
    { statusCode, answer, holdsSecret }: { statusCode: number; answer: Buffer; holdsSecret: boolean },
  ): Promise<void> {
    await tx.query(
      `UPDATE idempotency_keys SET status_code = $5, answer = $6, holds_secret = $7 WHERE ${NAMED} AND owner = $4`,
      [...named(name), owner, statusCode, answer, holdsSecret],
    );
  }

  async release(tx: Transaction, name: KeyName, owner: string): Promise<void> {
    await tx.query(`DELETE FROM idempotency_keys WHERE ${NAMED} AND owner = $4 AND status_code IS NULL`, [...named(name), owner]);
  }

  /** Deletes ended rows and wipes secrets whose time is over, of every tenant, at most `most` of each; answers the greater number. */
  async sweep(endedBefore: Date, secretBefore: Date, most: number): Promise<number> {
    const { rows } = await this.pools.app.query<{ swept: number }>(
      'SELECT idempotency_sweep($1, $2, $3) AS swept',
      [endedBefore, secretBefore, most],
    );
    return rows[0]?.swept ?? 0;
  }
}

function named({ tenantId, principal, key }: KeyName): string[] {
  return [tenantId, principal, key];
}
