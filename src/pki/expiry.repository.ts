import { Injectable } from '@nestjs/common';
import { Pools } from '../platform/database/pools.js';
import type { Transaction } from '../platform/database/transactions.js';
import type { CertificateOwner } from './certificate.js';
import { CERTIFICATE_WINDOWS, type ExpiryNotice, type ExpiryThreshold, type ExpiryWindow } from './expiry.js';

/** One instance at a time looks after what ends soon. */
const MONITOR_LOCK = 0x65787079;

/** Good certificates that nothing renews, by the days that they have left. */
export type DaysLeft = Readonly<Record<(typeof LEFT)[number], number>>;
/** `ended`: within the last 30 days. */
export const LEFT = ['ended', '1d', '7d', '30d', 'more'] as const;

interface DueRow {
  readonly id: string;
  readonly serial: string;
  readonly not_after: Date;
  readonly device_id: string | null;
  readonly service_account_id: string | null;
  readonly threshold: ExpiryThreshold;
}

/** $2 is the time. */
function opened({ days, part }: ExpiryWindow): string {
  return `not_after - $2::timestamptz <= least(interval '${days} days', (not_after - not_before) / ${part})`;
}

const THRESHOLD = `CASE WHEN ${opened(CERTIFICATE_WINDOWS.last)} THEN 'last' ELSE 'soon' END`;
/** Our listeners’ own certificates are made anew by the process that shows them. */
const UNRENEWED = `revoked_at IS NULL AND superseded_at IS NULL AND profile <> 'server'`;
const DUE = `${UNRENEWED} AND not_after > $2::timestamptz AND not_after <= $2::timestamptz + interval '${CERTIFICATE_WINDOWS.soon.days} days'
  AND ${opened(CERTIFICATE_WINDOWS.soon)} AND NOT (warned @> ARRAY[${THRESHOLD}])`;

/** What ends soon, in `certificates` and `certificate_authorities`. */
@Injectable()
export class ExpiryRepository {
  constructor(private readonly pools: Pools) {}

  /** Runs the work while no other instance does; the lock ends with its connection, so a killed process leaves none. @returns whether it ran */
  async alone(work: () => Promise<void>): Promise<boolean> {
    const client = await this.pools.app.connect();
    let broken: Error | undefined;
    // A connection that is not at home in its pool has nobody else who listens for its end.
    const lost = (error: Error): void => void (broken = error);
    client.on('error', lost);
    try {
      const { rows } = await client.query<{ taken: boolean }>('SELECT pg_try_advisory_lock($1) AS taken', [MONITOR_LOCK]);
      if (rows[0]?.taken !== true) return false;
      try {
        await work();
      } finally {
        await client.query('SELECT pg_advisory_unlock($1)', [MONITOR_LOCK]).catch(lost);
      }
      return true;
    } finally {
      client.off('error', lost);
      // A connection that could not give the lock back is closed, and the lock with it.
      client.release(broken);
    }
  }

  /** Tenants that have certificates to be warned of. */
  async tenants(now: Date): Promise<string[]> {
    const { rows } = await this.pools.reader.query<{ tenant_id: string }>(
      `SELECT DISTINCT tenant_id FROM certificates WHERE ($1::uuid IS NULL OR tenant_id = $1) AND ${DUE} ORDER BY tenant_id`,
      [null, now],
    );
    return rows.map(({ tenant_id: id }) => id);
  }

  /** Marks the next ones of the tenant as warned of and answers them; what another transaction holds is left to the next look. */
  async warn(tx: Transaction, now: Date, limit: number): Promise<ExpiryNotice[]> {
    const { tenantId } = tx.scope;
    const rows = await tx.query<DueRow>(
      `WITH due AS (
         SELECT id, ${THRESHOLD} AS threshold FROM certificates WHERE tenant_id = $1 AND ${DUE}
          ORDER BY not_after, id LIMIT $3 FOR UPDATE SKIP LOCKED)
       UPDATE certificates c SET warned = CASE due.threshold WHEN 'last' THEN ARRAY['soon', 'last'] ELSE ARRAY['soon'] END
         FROM due WHERE c.id = due.id
       RETURNING c.id, c.serial, c.not_after, c.device_id, c.service_account_id, due.threshold`,
      [tenantId, now, limit],
    );
    return rows.map((row) => ({
      kind: 'certificate',
      id: row.id,
      tenantId: tenantId ?? null,
      serial: row.serial,
      notAfter: row.not_after,
      threshold: row.threshold,
      owner: ownerOf(row, tenantId ?? ''),
    }));
  }

  /** @returns whether this threshold of the authority has not been told before. */
  async warnAuthority(tx: Transaction, id: string, threshold: ExpiryThreshold): Promise<boolean> {
    const rows = await tx.query(
      'UPDATE certificate_authorities SET warned = $3 WHERE id = $1 AND NOT (warned @> ARRAY[$2]) RETURNING id',
      [id, threshold, threshold === 'last' ? ['soon', 'last'] : ['soon']],
    );
    return rows.length > 0;
  }

  async count(now: Date): Promise<DaysLeft> {
    const { rows } = await this.pools.reader.query<{ left: keyof DaysLeft; count: number }>(
      `SELECT CASE WHEN not_after <= $1::timestamptz THEN 'ended' WHEN not_after <= $1::timestamptz + interval '1 day' THEN '1d'
          WHEN not_after <= $1::timestamptz + interval '7 days' THEN '7d' WHEN not_after <= $1::timestamptz + interval '30 days' THEN '30d'
          ELSE 'more' END AS left, count(*)::int AS count
         FROM certificates WHERE ${UNRENEWED} AND not_after > $1::timestamptz - interval '30 days' GROUP BY 1`,
      [now],
    );
    const counts = { ended: 0, '1d': 0, '7d': 0, '30d': 0, more: 0 };
    for (const { left, count } of rows) counts[left] = count;
    return counts;
  }
}

function ownerOf({ device_id: deviceId, service_account_id: serviceId }: DueRow, tenantId: string): CertificateOwner | null {
  if (deviceId !== null) return { kind: 'device', id: deviceId, tenantId };
  return serviceId === null ? null : { kind: 'service', id: serviceId, tenantId };
}
