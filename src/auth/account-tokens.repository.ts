import { Injectable } from '@nestjs/common';
import { Pools } from '../platform/database/pools.js';
import type { Transaction } from '../platform/database/transactions.js';

export type AccountTokenPurpose = 'recovery' | 'email-old' | 'email-new';

export interface AccountToken {
  readonly id: string;
  readonly userId: string;
  readonly purpose: AccountTokenPurpose;
  /** Of a change of address: both its tokens bear it. */
  readonly changeId: string | null;
  readonly newEmail: string | null;
  readonly digest: Buffer;
  readonly dataKeyId: string;
  readonly expiresAt: Date;
}

const COLUMNS = `id, user_id AS "userId", purpose, change_id AS "changeId", new_email AS "newEmail", digest, data_key_id AS "dataKeyId",
  expires_at AS "expiresAt"`;

/** The table `account_tokens`. */
@Injectable()
export class AccountTokensRepository {
  constructor(private readonly pools: Pools) {}

  /** A token that was not used yet, whosever it is. */
  async find(id: string): Promise<AccountToken | null> {
    const { rows } = await this.pools.reader.query<AccountToken>(`SELECT ${COLUMNS} FROM account_tokens WHERE id = $1 AND used_at IS NULL`, [id]);
    return rows[0] ?? null;
  }

  /** The scope must hold the account; its tokens of these kinds that came before end. */
  async insert(tx: Transaction, now: Date, ...tokens: readonly AccountToken[]): Promise<void> {
    for (const { userId, purpose } of tokens) {
      await tx.query('DELETE FROM account_tokens WHERE user_id = $1 AND purpose = $2', [userId, purpose]);
    }
    for (const token of tokens) {
      await tx.query(
        `INSERT INTO account_tokens (id, user_id, purpose, change_id, new_email, digest, data_key_id, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
        [token.id, token.userId, token.purpose, token.changeId, token.newEmail, token.digest, token.dataKeyId, now, token.expiresAt],
      );
    }
  }

  /** Spends a token; of two that try at once, one gets true. */
  async spend(tx: Transaction, id: string, now: Date): Promise<boolean> {
    const rows = await tx.query(
      'UPDATE account_tokens SET used_at = $2 WHERE id = $1 AND used_at IS NULL AND expires_at > $2 RETURNING id',
      [id, now],
    );
    return rows.length > 0;
  }

  /** How many confirmations of a change are still waited for. */
  async unspent(tx: Transaction, changeId: string): Promise<number> {
    const rows = await tx.query('SELECT id FROM account_tokens WHERE change_id = $1 AND used_at IS NULL FOR UPDATE', [changeId]);
    return rows.length;
  }

  async forgetAll(tx: Transaction, userId: string): Promise<void> {
    await tx.query('DELETE FROM account_tokens WHERE user_id = $1', [userId]);
  }
}
