import { Injectable } from '@nestjs/common';
import { Pools } from '../platform/database/pools.js';
import type { Transaction } from '../platform/database/transactions.js';

export interface SigningKeyRow {
  readonly kid: string;
  readonly private_sealed: Buffer;
  readonly signs_from: Date;
}

export interface NewSigningKey {
  readonly kid: string;
  readonly publicJwk: { readonly kty: string; readonly crv: string; readonly x: string; readonly y: string };
  readonly privateSealed: Buffer;
  readonly createdAt: Date;
  readonly signsFrom: Date;
}

const INSERT = `INSERT INTO signing_keys (kid, algorithm, public_jwk, private_sealed, created_at, signs_from)
  VALUES ($1, 'ES256', $2::jsonb, $3, $4, $5)`;

/** Rotations of one installation meet at this advisory lock. */
const ROTATION_LOCK = 0x706f7274_6b;

/** The table `signing_keys`: keys of the installation, not of a tenant. */
@Injectable()
export class SigningKeysRepository {
  constructor(private readonly pools: Pools) {}

  /** Keys that sign at `now` or will, oldest first. */
  signers(tx: Transaction, now: Date): Promise<SigningKeyRow[]> {
    return tx.query<SigningKeyRow>(
      `SELECT kid, private_sealed, signs_from FROM signing_keys
        WHERE retired_at IS NULL OR retired_at > $1 ORDER BY signs_from, kid`,
      [now],
    );
  }

  /** Outside of any transaction; of several that try at once the first wins. */
  async insertFirst(key: NewSigningKey): Promise<void> {
    await this.pools.app.query(`${INSERT} ON CONFLICT ((true)) WHERE retired_at IS NULL DO NOTHING`, values(key));
  }

  async lockRotation(tx: Transaction): Promise<void> {
    await tx.query('SELECT pg_advisory_xact_lock($1)', [ROTATION_LOCK]);
  }

  /** The key without an end gets one. Answers its id, `null` where there is no key yet. */
  async retireCurrent(tx: Transaction, retiredAt: Date, verifiesUntil: Date): Promise<string | null> {
    const rows = await tx.query<{ kid: string }>(
      'UPDATE signing_keys SET retired_at = $1, verifies_until = $2 WHERE retired_at IS NULL RETURNING kid',
      [retiredAt, verifiesUntil],
    );
    return rows[0]?.kid ?? null;
  }

  /** Nothing that was signed until now verifies any more. */
  async endAll(tx: Transaction, now: Date): Promise<void> {
    await tx.query(
      `UPDATE signing_keys SET retired_at = least(coalesce(retired_at, $1::timestamptz), $1), verifies_until = $1
        WHERE verifies_until IS NULL OR verifies_until > $1`,
      [now],
    );
  }

  async insert(tx: Transaction, key: NewSigningKey): Promise<void> {
    await tx.query(INSERT, values(key));
  }
}

function values(key: NewSigningKey): unknown[] {
  return [key.kid, JSON.stringify(key.publicJwk), key.privateSealed, key.createdAt, key.signsFrom];
}
