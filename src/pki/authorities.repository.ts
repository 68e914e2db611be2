import { Injectable } from '@nestjs/common';
import { Pools } from '../platform/database/pools.js';
import type { Transaction } from '../platform/database/transactions.js';
import type { Authority } from './authority.js';
import type { KeyType } from './keys.js';

interface Row {
  readonly id: string;
  readonly tenant_id: string | null;
  readonly kind: Authority['kind'];
  readonly parent_id: string | null;
  readonly key_type: KeyType;
  readonly certificate: Buffer;
  readonly serial: string;
  readonly key_handle?: Buffer | null;
  readonly not_before: Date;
  readonly not_after: Date;
  readonly retired_at: Date | null;
  readonly ended_at: Date | null;
  readonly key_here: boolean;
}

/** A key that waits for a certificate that is signed elsewhere. */
export interface AuthorityRequest {
  readonly id: string;
  readonly keyType: KeyType;
  readonly keyHandle: Buffer;
}

const PUBLIC = 'id, tenant_id, kind, parent_id, key_type, certificate, serial, not_before, not_after, retired_at, ended_at, key_here';
const ALL = `${PUBLIC}, key_handle`;

/** The table `certificate_authorities`. */
@Injectable()
export class AuthoritiesRepository {
  constructor(private readonly pools: Pools) {}

  /** Every authority and responder, without keys: what relying parties may know. */
  async everyone(): Promise<Authority[]> {
    const { rows } = await this.pools.gate.query<Row>(`SELECT ${PUBLIC} FROM certificate_authorities ORDER BY created_at, id`);
    return rows.map(authorityOf);
  }

  async find(tx: Transaction, id: string): Promise<Authority | null> {
    const rows = await tx.query<Row>(`SELECT ${ALL} FROM certificate_authorities WHERE id = $1`, [id]);
    return rows[0] === undefined ? null : authorityOf(rows[0]);
  }

  async root(tx: Transaction): Promise<Authority | null> {
    const rows = await tx.query<Row>(`SELECT ${ALL} FROM certificate_authorities WHERE kind = 'root' AND retired_at IS NULL`);
    return rows[0] === undefined ? null : authorityOf(rows[0]);
  }

  async issuing(tx: Transaction, tenantId: string): Promise<Authority | null> {
    const rows = await tx.query<Row>(
      `SELECT ${ALL} FROM certificate_authorities WHERE kind = 'issuing' AND tenant_id = $1 AND retired_at IS NULL`,
      [tenantId],
    );
    return rows[0] === undefined ? null : authorityOf(rows[0]);
  }

  async responder(tx: Transaction, parentId: string, goodUntil: Date): Promise<Authority | null> {
    const rows = await tx.query<Row>(
      `SELECT ${ALL} FROM certificate_authorities WHERE kind = 'responder' AND parent_id = $1 AND retired_at IS NULL AND not_after > $2`,
      [parentId, goodUntil],
    );
    return rows[0] === undefined ? null : authorityOf(rows[0]);
  }

  /** @returns false where another one of its place was first. */
  async insert(tx: Transaction, authority: Authority): Promise<boolean> {
    const rows = await tx.query(
      `INSERT INTO certificate_authorities (id, tenant_id, kind, parent_id, key_type, certificate, serial, key_handle, not_before, not_after)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING RETURNING id`,
      [
        authority.id, authority.tenantId, authority.kind, authority.parentId, authority.keyType, authority.certificate, authority.serial,
        authority.keyHandle, authority.notBefore, authority.notAfter,
      ],
    );
    return rows.length > 0;
  }

  /** The installation's root and the tenant's own issuing authorities, without keys, newest first. */
  async list(tx: Transaction): Promise<Authority[]> {
    const rows = await tx.query<Row>(
      `SELECT ${PUBLIC} FROM certificate_authorities WHERE kind = 'root' OR (kind = 'issuing' AND tenant_id = $1) ORDER BY created_at DESC, id`,
      [tx.scope.tenantId],
    );
    return rows.map(authorityOf);
  }

  async addRequest(tx: Transaction, { id, keyType, keyHandle }: AuthorityRequest, keyHash: Buffer, now: Date): Promise<void> {
    await tx.query(
      'INSERT INTO authority_requests (tenant_id, id, key_type, key_handle, key_hash, created_at) VALUES ($1, $2, $3, $4, $5, $6)',
      [tx.scope.tenantId, id, keyType, keyHandle, keyHash, now],
    );
  }

  /** Requests that nobody answered. */
  async forgetRequests(tx: Transaction, before: Date): Promise<void> {
    await tx.query('DELETE FROM authority_requests WHERE tenant_id = $1 AND created_at < $2', [tx.scope.tenantId, before]);
  }

  /** Takes the tenant's request for this key; it is there no longer once the transaction has committed. */
  async takeRequest(tx: Transaction, keyHash: Buffer): Promise<AuthorityRequest | null> {
    const [row] = await tx.query<{ id: string; key_type: KeyType; key_handle: Buffer }>(
      'DELETE FROM authority_requests WHERE tenant_id = $1 AND key_hash = $2 RETURNING id, key_type, key_handle',
      [tx.scope.tenantId, keyHash],
    );
    return row === undefined ? null : { id: row.id, keyType: row.key_type, keyHandle: row.key_handle };
  }

  /** Whether an authority of the tenant or of the installation has this very certificate. */
  async knows(tx: Transaction, certificate: Buffer): Promise<boolean> {
    const rows = await tx.query('SELECT FROM certificate_authorities WHERE certificate = $1', [certificate]);
    return rows.length > 0;
  }

  /** Nothing rests on it any more. */
  async end(tx: Transaction, id: string, now: Date): Promise<boolean> {
    const rows = await tx.query(
      'UPDATE certificate_authorities SET ended_at = $2 WHERE id = $1 AND retired_at IS NOT NULL AND ended_at IS NULL RETURNING id',
      [id, now],
    );
    return rows.length > 0;
  }

  /** Issuing authorities of a root that something may still rest on, whoever's they are. */
  async countBelow(rootId: string): Promise<number> {
    const { rows } = await this.pools.reader.query<{ count: number }>(
      `SELECT count(*)::int AS count FROM certificate_authorities WHERE parent_id = $1 AND kind = 'issuing' AND ended_at IS NULL`,
      [rootId],
    );
    return rows[0]?.count ?? 0;
  }

  /** Successors of one tenant's authority (`root`: of the root) follow each other. */
  async takeTurn(tx: Transaction, place: string): Promise<void> {
    await tx.query(`SELECT pg_advisory_xact_lock(hashtext('portcullis-authority'), hashtext($1))`, [place]);
  }

  /** It issues nothing more; what it issued stays good. */
  async retire(tx: Transaction, id: string, now: Date): Promise<boolean> {
    const rows = await tx.query(
      'UPDATE certificate_authorities SET retired_at = $2 WHERE id = $1 AND retired_at IS NULL RETURNING id',
      [id, now],
    );
    return rows.length > 0;
  }

  async retireResponder(tx: Transaction, parentId: string, now: Date): Promise<void> {
    await tx.query(
      `UPDATE certificate_authorities SET retired_at = $2 WHERE kind = 'responder' AND parent_id = $1 AND retired_at IS NULL`,
      [parentId, now],
    );
  }

  /** Clients' certificates that are good and were issued by this authority. Our own servers' rest on the root alone. */
  async countLive(tx: Transaction, id: string, now: Date): Promise<number> {
    const rows = await tx.query<{ count: number }>(
      `SELECT count(*)::int AS count FROM certificates
        WHERE authority_id = $1 AND profile <> 'server' AND revoked_at IS NULL AND not_after > $2 AND (ends_at IS NULL OR ends_at > $2)`,
      [id, now],
    );
    return rows[0]?.count ?? 0;
  }
}

function authorityOf(row: Row): Authority {
  return {
    id: row.id,
    tenantId: row.tenant_id,
    kind: row.kind,
    parentId: row.parent_id,
    keyType: row.key_type,
    certificate: row.certificate,
    serial: row.serial,
    keyHandle: row.key_handle ?? null,
    notBefore: row.not_before,
    notAfter: row.not_after,
    retiredAt: row.retired_at,
    endedAt: row.ended_at,
    keyHere: row.key_here,
  };
}
