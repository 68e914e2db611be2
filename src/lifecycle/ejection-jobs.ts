import { Injectable } from '@nestjs/common';
import type { Subject } from '../devices/narrowing.js';
import { Pools } from '../platform/database/pools.js';
import { Transactions, type Transaction } from '../platform/database/transactions.js';

export interface EjectionOrder {
  readonly why: string;
  /** Keep the client ids out for a moment. */
  readonly ban: boolean;
  /** Tell the audit log also if no session was found. */
  readonly announce: boolean;
  /** Sessions let in on these facts or newer ones are welcome; `null`: none is. */
  readonly factsVersion: number | null;
  /** Milliseconds until the worker takes it up, if whoever ordered it has not done it by then. */
  readonly graceMs: number;
}

export interface EjectionJob extends Omit<EjectionOrder, 'graceMs'> {
  readonly subject: Subject;
  /** Raised by each new order: what was found out for an older one does not count. */
  readonly revision: number;
  readonly phase: 'EJECT' | 'SWEEP';
  readonly attempts: number;
}

interface Next {
  readonly phase: 'EJECT' | 'SWEEP';
  readonly inMs: number;
}

interface JobRow {
  tenant_id: string;
  subject_kind: 'device' | 'service';
  subject_id: string;
  revision: string;
  why: string;
  ban: boolean;
  announce: boolean;
  facts_version: string | null;
  phase: 'EJECT' | 'SWEEP';
  attempts: number;
}

/** A worker that dies in the middle leaves its claim for another after this long. */
const CLAIM_SECONDS = 15;
const COLUMNS = 'tenant_id, subject_kind, subject_id, revision, why, ban, announce, facts_version, phase, attempts';

/** Ejections that are not finished, at most one of each subject, in Postgres: they outlive the process. */
@Injectable()
export class EjectionJobs {
  constructor(
    private readonly pools: Pools,
    private readonly transactions: Transactions,
  ) {}

  /** Orders ejections in the transaction of the change that asks for them. */
  async order(tx: Transaction, subjects: readonly Subject[], order: EjectionOrder): Promise<EjectionJob[]> {
    const rows = await tx.query<JobRow>(
      `INSERT INTO ejections AS e (tenant_id, subject_kind, subject_id, why, ban, announce, facts_version, next_attempt_at)
       SELECT $1, k, i, $4, $5, $6, $7, now() + $8 * interval '1 millisecond' FROM unnest($2::text[], $3::uuid[]) AS s (k, i)
       ON CONFLICT (tenant_id, subject_kind, subject_id) DO UPDATE SET
         revision = e.revision + 1, why = excluded.why, ban = e.ban OR excluded.ban, announce = e.announce OR excluded.announce,
         facts_version = CASE WHEN e.facts_version IS NULL OR excluded.facts_version IS NULL THEN NULL
           ELSE greatest(e.facts_version, excluded.facts_version) END,
         phase = 'EJECT', attempts = 0, ordered_at = now(), next_attempt_at = excluded.next_attempt_at
       RETURNING ${COLUMNS}`,
      [
        tx.scope.tenantId, subjects.map(({ kind }) => kind), subjects.map(({ id }) => id),
        order.why, order.ban, order.announce, order.factsVersion, order.graceMs,
      ],
    );
    return rows.map(jobOf);
  }

  /** The subject is welcome again. */
  async forget(tx: Transaction, subject: Subject): Promise<void> {
    await tx.query('DELETE FROM ejections WHERE subject_kind = $1 AND subject_id = $2', [subject.kind, subject.id]);
  }

  /** Takes back every order that was given for this reason in the transaction's tenant. */
  async forgetAll(tx: Transaction, why: string): Promise<void> {
    await tx.query('DELETE FROM ejections WHERE tenant_id = $1 AND why = $2', [tx.scope.tenantId, why]);
  }

  /** Takes up to `limit` jobs that are due; nobody else gets them while the claim lasts. */
  async claimDue(limit: number): Promise<EjectionJob[]> {
    // Seen by the reader over all tenants, claimed inside each one's own.
    const { rows } = await this.pools.reader.query<{ tenant_id: string; subject_kind: string; subject_id: string }>(
      'SELECT tenant_id, subject_kind, subject_id FROM ejections WHERE next_attempt_at <= now() ORDER BY next_attempt_at LIMIT $1',
      [limit],
    );
    const claimed: EjectionJob[] = [];
    for (const tenantId of new Set(rows.map((row) => row.tenant_id))) {
      const mine = rows.filter((row) => row.tenant_id === tenantId);
      claimed.push(...(await this.transactions.run({ tenantId }, (tx) => tx.query<JobRow>(
        `UPDATE ejections e SET next_attempt_at = now() + ${CLAIM_SECONDS} * interval '1 second', attempts = e.attempts + 1
          FROM (SELECT j.subject_kind, j.subject_id FROM ejections j
                 JOIN unnest($1::text[], $2::uuid[]) AS s (k, i) ON j.subject_kind = s.k AND j.subject_id = s.i
                WHERE j.next_attempt_at <= now() FOR UPDATE OF j SKIP LOCKED) due
          WHERE e.subject_kind = due.subject_kind AND e.subject_id = due.subject_id
          RETURNING ${COLUMNS.split(', ').map((column) => `e.${column}`).join(', ')}`,
        [mine.map((row) => row.subject_kind), mine.map((row) => row.subject_id)],
      ))).map(jobOf));
    }
    return claimed;
  }

  /** As `settle` for many; those of one tenant and outcome in one statement. */
  async settleMany(outcomes: readonly { readonly job: EjectionJob; readonly next: Next | null }[]): Promise<void> {
    const groups = new Map<string, { tenantId: string; next: Next | null; jobs: EjectionJob[] }>();
    for (const { job, next } of outcomes) {
      const { tenantId } = job.subject;
      const key = `${tenantId} ${next === null ? '' : `${next.phase} ${next.inMs}`}`;
      const group = groups.get(key) ?? { tenantId, next, jobs: [] };
      group.jobs.push(job);
      groups.set(key, group);
    }
    for (const { tenantId, next, jobs } of groups.values()) {
      const which = [jobs.map(({ subject }) => subject.kind), jobs.map(({ subject }) => subject.id), jobs.map(({ revision }) => revision)];
      const these = 'e.subject_kind = s.k AND e.subject_id = s.i AND e.revision = s.r';
      const from = 'unnest($1::text[], $2::uuid[], $3::bigint[]) AS s (k, i, r)';
      await this.transactions.run({ tenantId }, (tx) => (next === null
        ? tx.query(`DELETE FROM ejections e USING ${from} WHERE ${these}`, which)
        : tx.query(
          `UPDATE ejections e SET phase = $4, attempts = CASE WHEN e.phase = $4 THEN e.attempts ELSE 0 END,
             next_attempt_at = now() + $5 * interval '1 millisecond' FROM ${from} WHERE ${these}`,
          [...which, next.phase, next.inMs],
        )));
    }
  }

  /** What is still to be done for orders that were given for this reason. */
  async remaining(tenantId: string, why: string): Promise<{ live: number; sweeps: number }> {
    const { rows } = await this.pools.reader.query<{ live: string; sweeps: string }>(
      `SELECT count(*) FILTER (WHERE phase = 'EJECT') AS live, count(*) FILTER (WHERE phase = 'SWEEP') AS sweeps
         FROM ejections WHERE tenant_id = $1 AND why = $2`,
      [tenantId, why],
    );
    return { live: Number(rows[0]?.live ?? 0), sweeps: Number(rows[0]?.sweeps ?? 0) };
  }

  /** What comes next for a job that was worked on: another attempt, the second look, or (`null`) nothing. */
  async settle({ subject, revision }: EjectionJob, next: Next | null): Promise<void> {
    await this.transactions.run({ tenantId: subject.tenantId }, async (tx) => {
      const which = [subject.kind, subject.id, revision];
      if (next === null) {
        await tx.query('DELETE FROM ejections WHERE subject_kind = $1 AND subject_id = $2 AND revision = $3', which);
        return;
      }
      await tx.query(
        `UPDATE ejections SET phase = $4, attempts = CASE WHEN phase = $4 THEN attempts ELSE 0 END,
           next_attempt_at = now() + $5 * interval '1 millisecond'
          WHERE subject_kind = $1 AND subject_id = $2 AND revision = $3`,
        [...which, next.phase, next.inMs],
      );
    });
  }
}

function jobOf(row: JobRow): EjectionJob {
  return {
    subject: { kind: row.subject_kind, id: row.subject_id, tenantId: row.tenant_id },
    revision: Number(row.revision),
    why: row.why,
    ban: row.ban,
    announce: row.announce,
    factsVersion: row.facts_version === null ? null : Number(row.facts_version),
    phase: row.phase,
    attempts: row.attempts,
  };
}
