import { Injectable } from '@nestjs/common';
import { Pools } from '../platform/database/pools.js';
import type { Transaction } from '../platform/database/transactions.js';

export interface ListedCrl {
  readonly number: bigint;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  readonly der: Buffer;
}

export type CrlHead = Omit<ListedCrl, 'der'>;

/** What a look around found of an authority's list. */
export interface CrlState {
  readonly authorityId: string;
  readonly tenantId: string | null;
  readonly number: bigint | null;
  readonly thisUpdate: Date | null;
  /** Revocations that stand on no list yet. */
  readonly unlisted: boolean;
}

interface Row {
  readonly number: string;
  readonly this_update: Date;
  readonly next_update: Date;
}

/** Entries read at a time. */
const PAGE = 5_000;
const SLICE_BYTES = 262_144;
/** Lists that are kept, the newest included. */
const KEPT = 3;

/** The table `crls`, and the entries that certificates of an authority have ready for it. */
@Injectable()
export class CrlsRepository {
  constructor(private readonly pools: Pools) {}

  /** Head of the newest list as Postgres has it, for whoever serves. */
  async head(authorityId: string): Promise<CrlHead | null> {
    const { rows } = await this.pools.reader.query<Row>(
      'SELECT number, this_update, next_update FROM crls WHERE authority_id = $1 ORDER BY number DESC LIMIT 1',
      [authorityId],
    );
    return rows[0] === undefined ? null : headOf(rows[0]);
  }

  /** Read in slices: a large list at once would hold the event loop up. `null`: it was replaced meanwhile. */
  async newest(authorityId: string): Promise<ListedCrl | null> {
    const head = await this.head(authorityId);
    if (head === null) return null;
    const slices: Buffer[] = [];
    for (let from = 1; ; from += SLICE_BYTES) {
      const { rows } = await this.pools.reader.query<{ slice: Buffer }>(
        'SELECT substring(der FROM $3::int FOR $4::int) AS slice FROM crls WHERE authority_id = $1 AND number = $2',
        [authorityId, head.number.toString(), from, SLICE_BYTES],
      );
      const slice = rows[0]?.slice;
      if (slice === undefined) return null;
      slices.push(slice);
      if (slice.length < SLICE_BYTES) return { ...head, der: Buffer.concat(slices) };
    }
  }

  /** Every authority of the installation that publishes a list: those that can sign from here. */
  async states(): Promise<CrlState[]> {
    const { rows } = await this.pools.reader.query<{
      id: string; tenant_id: string | null; number: string | null; this_update: Date | null; unlisted: boolean;
    }>(
      `SELECT a.id, a.tenant_id, c.number, c.this_update,
          EXISTS (SELECT FROM certificates x WHERE x.authority_id = a.id AND x.crl_entry IS NOT NULL AND x.crl_first IS NULL) AS unlisted
         FROM certificate_authorities a
         LEFT JOIN LATERAL (SELECT number, this_update FROM crls WHERE authority_id = a.id ORDER BY number DESC LIMIT 1) c ON true
        WHERE a.kind <> 'responder' AND a.key_here AND a.not_after > now() ORDER BY a.kind, a.created_at, a.id`,
    );
    return rows.map((row) => ({
      authorityId: row.id,
      tenantId: row.tenant_id,
      number: row.number === null ? null : BigInt(row.number),
      thisUpdate: row.this_update,
      unlisted: row.unlisted,
    }));
  }

  /**
   * Takes the authority's turn: of several builders one works at a time, and numbers follow each other. Weak enough that
   * certificates can be issued meanwhile. Answers the last number.
   */
  async takeTurn(tx: Transaction, authorityId: string): Promise<bigint> {
    const rows = await tx.query<{ crl_number: string }>(
      'SELECT crl_number FROM certificate_authorities WHERE id = $1 FOR NO KEY UPDATE',
      [authorityId],
    );
    if (rows[0] === undefined) throw new Error(`there is no authority ${authorityId}`);
    return BigInt(rows[0].crl_number);
  }

  async isUpToDate(tx: Transaction, authorityId: string, newerThan: Date): Promise<boolean> {
    const rows = await tx.query<{ good: boolean }>(
      `SELECT EXISTS (SELECT FROM crls WHERE authority_id = $1 AND this_update > $2)
          AND NOT EXISTS (SELECT FROM certificates WHERE authority_id = $1 AND crl_entry IS NOT NULL AND crl_first IS NULL) AS good`,
      [authorityId, newerThan],
    );
    return rows[0]?.good === true;
  }

  /**
   * Marks what this list is the first, and what it is the last to hold: an entry leaves after a list that was made past the end of its
   * certificate (RFC 5280 §3.3).
   */
  async mark(tx: Transaction, authorityId: string, number: bigint, thisUpdate: Date): Promise<void> {
    // Two statements, each by an index of its own: neither looks at the entries that only stay.
    await tx.query(
      'UPDATE certificates SET crl_first = $2 WHERE authority_id = $1 AND crl_entry IS NOT NULL AND crl_first IS NULL',
      [authorityId, number.toString()],
    );
    await tx.query(
      'UPDATE certificates SET crl_last = $2 WHERE authority_id = $1 AND crl_entry IS NOT NULL AND crl_last IS NULL AND not_after < $3',
      [authorityId, number.toString(), thisUpdate],
    );
  }

  /** Entries of the list, page by page; Postgres puts each page together. */
  async entries(tx: Transaction, authorityId: string, number: bigint): Promise<{ chunks: Buffer[]; count: number }> {
    const chunks: Buffer[] = [];
    let count = 0;
    for (let after = '00000000-0000-0000-0000-000000000000'; ;) {
      const [page] = await tx.query<{ chunk: Buffer | null; count: number; last: string | null }>(
        `SELECT string_agg(crl_entry, ''::bytea ORDER BY id) AS chunk, count(*)::int AS count, (array_agg(id ORDER BY id DESC))[1] AS last
           FROM (SELECT id, crl_entry FROM certificates WHERE authority_id = $1 AND crl_entry IS NOT NULL AND id > $2
             AND (crl_last IS NULL OR crl_last = $3) ORDER BY id LIMIT ${PAGE}) page`,
        [authorityId, after, number.toString()],
      );
      if (!page?.chunk || page.last === null) break;
      chunks.push(page.chunk);
      count += page.count;
      after = page.last;
      if (page.count < PAGE) break;
    }
    return { chunks, count };
  }

  async insert(tx: Transaction, authorityId: string, crl: ListedCrl, entries: number): Promise<void> {
    const number = crl.number.toString();
    await tx.query('UPDATE certificate_authorities SET crl_number = $2 WHERE id = $1', [authorityId, number]);
    await tx.query(
      'INSERT INTO crls (authority_id, number, this_update, next_update, entries, der) VALUES ($1, $2, $3, $4, $5, $6)',
      [authorityId, number, crl.thisUpdate, crl.nextUpdate, entries, crl.der],
    );
    await tx.query('DELETE FROM crls WHERE authority_id = $1 AND number <= $2', [authorityId, (crl.number - BigInt(KEPT)).toString()]);
  }
}

function headOf(row: Row): CrlHead {
  return { number: BigInt(row.number), thisUpdate: row.this_update, nextUpdate: row.next_update };
}
