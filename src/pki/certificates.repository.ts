import { Injectable } from '@nestjs/common';
import type { Transaction } from '../platform/database/transactions.js';
import type { Keyset } from '../platform/http/paging.js';
import type { CertificateOwner, CertificateRecord } from './certificate.js';
import type { ProfileName } from './profiles.js';

interface Row {
  readonly id: string;
  readonly tenant_id: string;
  readonly authority_id: string;
  readonly serial: string;
  readonly profile: ProfileName;
  readonly device_id: string | null;
  readonly service_account_id: string | null;
  readonly certificate: Buffer;
  readonly fingerprint: string;
  readonly not_before: Date;
  readonly not_after: Date;
  readonly parent_id: string | null;
  readonly parent_serial: string | null;
  readonly credential_id: string | null;
  readonly requested_from: string | null;
  readonly created_at: Date;
  readonly superseded_at: Date | null;
  readonly ends_at: Date | null;
  readonly first_used_at: Date | null;
  readonly last_used_at: Date | null;
  readonly revoked_at: Date | null;
  readonly revoke_reason: string | null;
  /** `created_at` with its microseconds, for cursors. */
  readonly at: string;
}

export interface ListedCertificate {
  readonly certificate: CertificateRecord;
  readonly key: Keyset;
}

export interface NewCertificate {
  readonly id: string;
  readonly authorityId: string;
  readonly serial: string;
  readonly profile: ProfileName;
  readonly der: Buffer;
  readonly fingerprint: string;
  readonly keyHash: Buffer;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly createdAt: Date;
  readonly parentId: string | null;
  readonly credentialId: string | null;
  readonly requestedFrom: string | null;
}

export interface OwnedCertificate extends NewCertificate {
  readonly owner: CertificateOwner;
}

export interface Revocation {
  readonly id: string;
  readonly entry: Buffer;
}

const COLUMNS = `c.id, c.tenant_id, c.authority_id, c.serial, c.profile, c.device_id, c.service_account_id, c.certificate, c.fingerprint,
  c.not_before, c.not_after, c.parent_id, p.serial AS parent_serial, c.credential_id, host(c.requested_from) AS requested_from, c.created_at,
  c.superseded_at, c.ends_at, c.first_used_at, c.last_used_at, c.revoked_at, c.revoke_reason,
  to_char(c.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at`;
/** Of a certificate `p`, at the time `$2`: it was renewed and is good all the same. */
const OVERLAPS = 'p.superseded_at IS NOT NULL AND p.revoked_at IS NULL AND p.ends_at > $2';
const FROM = 'FROM certificates c LEFT JOIN certificates p ON p.id = c.parent_id';

const INSERTED = `tenant_id, device_id, service_account_id, id, authority_id, serial, profile, certificate, fingerprint, public_key_hash,
  not_before, not_after, created_at, parent_id, credential_id, requested_from`;

/**
 * However many there are: a round trip costs as much as several signatures. Keys are looked up one by one, never by a walk through all
 * that were ever certified, which Postgres would think of for an EXISTS.
 */
const INSERT_OWNED = {
  name: 'certificates-insert',
  text: `
  WITH asked AS (SELECT * FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::bytea[], $9::text[], $10::bytea[],
      $11::timestamptz[], $12::timestamptz[], $13::timestamptz[], $14::uuid[], $15::uuid[], $16::inet[]) WITH ORDINALITY
      AS a (device_id, service_account_id, id, authority_id, serial, profile, certificate, fingerprint, public_key_hash,
            not_before, not_after, created_at, parent_id, credential_id, requested_from, place)),
    fresh AS (INSERT INTO certified_keys (hash, tenant_id, owner_id)
      SELECT DISTINCT ON (public_key_hash) public_key_hash, $1::uuid, coalesce(device_id, service_account_id) FROM asked ORDER BY public_key_hash, place
      ON CONFLICT DO NOTHING RETURNING hash, owner_id)
  INSERT INTO certificates (${INSERTED})
  SELECT $1, device_id, service_account_id, id, authority_id, serial, profile, certificate, fingerprint, public_key_hash,
         not_before, not_after, created_at, parent_id, credential_id, requested_from
    FROM asked a
   WHERE coalesce((SELECT f.owner_id FROM fresh f WHERE f.hash = a.public_key_hash),
                  (SELECT k.owner_id FROM certified_keys k WHERE k.hash = a.public_key_hash AND k.tenant_id = $1))
         = coalesce(a.device_id, a.service_account_id)
  RETURNING id`,
};

function columnsOf(certificates: readonly OwnedCertificate[]): unknown[][] {
  const column = (pick: (certificate: OwnedCertificate) => unknown): unknown[] => certificates.map(pick);
  const idOf = (kind: CertificateOwner['kind']) => ({ owner }: OwnedCertificate): string | null => (owner.kind === kind ? owner.id : null);
  return [
    column(idOf('device')), column(idOf('service')), column(({ id }) => id), column(({ authorityId }) => authorityId),
    column(({ serial }) => serial), column(({ profile }) => profile), column(({ der }) => der), column(({ fingerprint }) => fingerprint),
    column(({ keyHash }) => keyHash), column(({ notBefore }) => notBefore.toISOString()), column(({ notAfter }) => notAfter.toISOString()),
    column(({ createdAt }) => createdAt.toISOString()), column(({ parentId }) => parentId), column(({ credentialId }) => credentialId),
    column(({ requestedFrom }) => requestedFrom),
  ];
}

/** The tables `certificates` and `certified_keys`. */
@Injectable()
export class CertificatesRepository {
  /**
   * Stores certificates of devices and services of the transaction's tenant, and their keys as theirs.
   * @returns ids of those that were stored: not the ones whose key was certified for somebody else, in whichever tenant
   */
  async insertOwned(tx: Transaction, certificates: readonly OwnedCertificate[]): Promise<Set<string>> {
    if (certificates.length === 0) return new Set();
    const rows = await tx.prepared<{ id: string }>(INSERT_OWNED, [tx.scope.tenantId, ...columnsOf(certificates)]);
    return new Set(rows.map(({ id }) => id));
  }

  /** Stores a server's certificate. */
  async insert(tx: Transaction, tenantId: string, certificate: NewCertificate): Promise<void> {
    const { id, authorityId, serial, profile, der, fingerprint, keyHash, notBefore, notAfter, createdAt, parentId, credentialId, requestedFrom } = certificate;
    await tx.query(
      `INSERT INTO certificates (${INSERTED}) VALUES ($1, NULL, NULL, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
      [tenantId, id, authorityId, serial, profile, der, fingerprint, keyHash, notBefore, notAfter, createdAt, parentId, credentialId, requestedFrom],
    );
  }

  async findBySerial(tx: Transaction, serial: string): Promise<CertificateRecord | null> {
    const rows = await tx.query<Row>(`SELECT ${COLUMNS} ${FROM} WHERE c.tenant_id = $1 AND c.serial = $2`, [tx.scope.tenantId, serial]);
    return rows[0] === undefined ? null : recordOf(rows[0]);
  }

  async findOwn(tx: Transaction, deviceId: string, id: string): Promise<CertificateRecord | null> {
    const rows = await tx.query<Row>(`SELECT ${COLUMNS} ${FROM} WHERE c.tenant_id = $1 AND c.device_id = $2 AND c.id = $3`, [
      tx.scope.tenantId, deviceId, id,
    ]);
    return rows[0] === undefined ? null : recordOf(rows[0]);
  }

  /** In the order of their issue; `after` and `limit` cut a page. */
  async page(tx: Transaction, { kind, id }: Pick<CertificateOwner, 'kind' | 'id'>, after: Keyset | undefined, limit: number): Promise<ListedCertificate[]> {
    const params: unknown[] = [tx.scope.tenantId, id, limit];
    const column = kind === 'device' ? 'device_id' : 'service_account_id';
    if (after) params.push(after.at, after.id);
    const rows = await tx.query<Row>(
      `SELECT ${COLUMNS} ${FROM} WHERE c.tenant_id = $1 AND c.${column} = $2
         ${after ? 'AND (c.created_at, c.id) > ($4::timestamptz, $5::uuid)' : ''} ORDER BY c.created_at, c.id LIMIT $3`,
      params,
    );
    return rows.map((row) => ({ certificate: recordOf(row), key: { at: row.at, id: row.id } }));
  }

  /** Neither revoked nor ended at `now`, of these devices. */
  async live(tx: Transaction, deviceIds: readonly string[], now: Date): Promise<CertificateRecord[]> {
    const rows = await tx.query<Row>(
      `SELECT ${COLUMNS} ${FROM} WHERE c.tenant_id = $1 AND c.device_id = ANY($2::uuid[]) AND c.revoked_at IS NULL AND c.not_after > $3
         AND (c.ends_at IS NULL OR c.ends_at > $3) ORDER BY c.created_at, c.id`,
      [tx.scope.tenantId, deviceIds, now],
    );
    return rows.map(recordOf);
  }

  /** Every certificate of a device that a list can still name: a superseded one, whose key may be in the wrong hands as well, among them. */
  async unexpired(tx: Transaction, deviceId: string, now: Date): Promise<CertificateRecord[]> {
    const rows = await tx.query<Row>(
      `SELECT ${COLUMNS} ${FROM} WHERE c.tenant_id = $1 AND c.device_id = $2 AND c.revoked_at IS NULL AND c.not_after > $3
        ORDER BY c.created_at, c.id`,
      [tx.scope.tenantId, deviceId, now],
    );
    return rows.map(recordOf);
  }

  /**
   * What rests on some certificates or client secrets: certificates that were got with them, and those that renewed these. With
   * `since` only those issued from then on. Ended and revoked ones are left out, though what came from them is not.
   */
  async lineage(tx: Transaction, from: { ids?: readonly string[]; credentialIds?: readonly string[] }, since: Date | null, now: Date): Promise<CertificateRecord[]> {
    const rows = await tx.query<Row>(
      `WITH RECURSIVE family AS (
         SELECT id FROM certificates WHERE tenant_id = $1 AND (id = ANY($2::uuid[]) OR credential_id = ANY($3::uuid[]))
         UNION SELECT c.id FROM certificates c JOIN family f ON c.parent_id = f.id WHERE c.tenant_id = $1)
       SELECT ${COLUMNS} ${FROM} WHERE c.tenant_id = $1 AND c.id IN (SELECT id FROM family) AND c.revoked_at IS NULL AND c.not_after > $4
         AND ($5::timestamptz IS NULL OR c.created_at >= $5) ORDER BY c.created_at, c.id`,
      [tx.scope.tenantId, from.ids ?? [], from.credentialIds ?? [], now, since],
    );
    return rows.map(recordOf);
  }

  /** Those before connect until `endsAt` at the latest. */
  async supersede(tx: Transaction, ids: readonly string[], now: Date, endsAt: Date): Promise<void> {
    await tx.query(
      `UPDATE certificates SET superseded_at = coalesce(superseded_at, $2), ends_at = least(coalesce(ends_at, not_after), $3, not_after)
        WHERE id = ANY($1::uuid[]) AND revoked_at IS NULL`,
      [ids, now, endsAt],
    );
  }

  /** @returns ids of those that were revoked now; one that was before stays as it is. */
  async revoke(tx: Transaction, revocations: readonly Revocation[], now: Date, reason: string): Promise<string[]> {
    const rows = await tx.query<{ id: string }>(
      `UPDATE certificates c SET revoked_at = $3, revoke_reason = $4, crl_entry = r.entry
         FROM unnest($1::uuid[], $2::bytea[]) AS r(id, entry) WHERE c.id = r.id AND c.revoked_at IS NULL RETURNING c.id`,
      [revocations.map(({ id }) => id), revocations.map(({ entry }) => entry), now, reason],
    );
    return rows.map(({ id }) => id);
  }

  /** Whether a use of this one ends the overlap of the certificate before. */
  async endsOverlap(tx: Transaction, id: string, now: Date): Promise<boolean> {
    const rows = await tx.query(
      `SELECT FROM certificates p WHERE p.id = (SELECT parent_id FROM certificates WHERE id = $1) AND ${OVERLAPS}`,
      [id, now],
    );
    return rows.length > 0;
  }

  /** Notes a connection; the first one ends the overlap of the certificate before. @returns whether it did */
  async noteUse(tx: Transaction, id: string, now: Date): Promise<boolean> {
    await tx.query('UPDATE certificates SET first_used_at = coalesce(first_used_at, $2), last_used_at = $2 WHERE id = $1', [id, now]);
    const rows = await tx.query(
      `UPDATE certificates p SET ends_at = $2 WHERE p.id = (SELECT parent_id FROM certificates WHERE id = $1) AND ${OVERLAPS} RETURNING p.id`,
      [id, now],
    );
    return rows.length > 0;
  }

  async holders(tx: Transaction, deviceIds: readonly string[], now: Date, expiringBefore: Date | null): Promise<string[]> {
    const rows = await tx.query<{ device_id: string }>(
      `SELECT DISTINCT device_id FROM certificates WHERE tenant_id = $1 AND device_id = ANY($2::uuid[]) AND revoked_at IS NULL
         AND not_after > $3 AND (ends_at IS NULL OR ends_at > $3) AND ($4::timestamptz IS NULL OR not_after < $4)`,
      [tx.scope.tenantId, deviceIds, now, expiringBefore],
    );
    return rows.map((row) => row.device_id);
  }
}

function recordOf(row: Row): CertificateRecord {
  const { tenant_id: tenantId, device_id: deviceId, service_account_id: serviceId } = row;
  const owner: CertificateOwner | null = deviceId !== null ? { kind: 'device', id: deviceId, tenantId }
    : serviceId !== null ? { kind: 'service', id: serviceId, tenantId } : null;
  return {
    id: row.id,
    tenantId,
    authorityId: row.authority_id,
    serial: row.serial,
    profile: row.profile,
    owner,
    der: row.certificate,
    fingerprint: row.fingerprint,
    notBefore: row.not_before,
    notAfter: row.not_after,
    parentId: row.parent_id,
    parentSerial: row.parent_serial,
    credentialId: row.credential_id,
    requestedFrom: row.requested_from,
    createdAt: row.created_at,
    supersededAt: row.superseded_at,
    endsAt: row.ends_at,
    firstUsedAt: row.first_used_at,
    lastUsedAt: row.last_used_at,
    revokedAt: row.revoked_at,
    revokeReason: row.revoke_reason,
  };
}
