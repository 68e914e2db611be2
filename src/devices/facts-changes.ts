import { Injectable } from '@nestjs/common';
import { Transactions, type Transaction } from '../platform/database/transactions.js';
import { logger } from '../platform/telemetry/logger.js';
import { DevicesGate } from './devices.gate.js';
import { NarrowingHub } from './narrowing.js';
import { tenantOf } from './tenant-scope.js';

type Kind = 'device' | 'service';

/** A subject whose facts a statement has changed, with the version that the statement answered. */
export interface ChangedSubject {
  readonly id: string;
  readonly version: number;
}

/** What one transaction has changed so far; settled once, after its commit. */
interface Pending {
  /** Made in this transaction: nothing older than its end can be known of them anywhere. */
  readonly created: Set<string>;
  readonly versions: Readonly<Record<Kind, Map<string, number>>>;
  /** Subjects that may do less than before, by reason. */
  readonly narrowed: Map<string, Readonly<Record<Kind, Set<string>>>>;
}

const BATCH = 500;
const TABLES = { device: 'devices', service: 'service_accounts' } as const;

/**
 * Raises versions and sees to it that, once the transaction is committed, first the gate's caches and then the sessions follow.
 * Nothing happens after a rollback.
 */
@Injectable()
export class FactsChanges {
  private readonly pending = new WeakMap<Transaction, Pending>();

  constructor(
    private readonly transactions: Transactions,
    private readonly gate: DevicesGate,
    private readonly narrowing: NarrowingHub,
  ) {}

  /** Raises the version of these subjects, locking them in the order of their ids. @returns those that exist in the tenant. */
  async touch(tx: Transaction, kind: Kind, ids: readonly string[]): Promise<ChangedSubject[]> {
    if (ids.length === 0) return [];
    return this.raise(tx, kind, 's.id = ANY($2::uuid[])', ids);
  }

  /** As `touch` for every member of a group that is not decommissioned. The caller holds the group's row `FOR UPDATE`. */
  async touchMembers(tx: Transaction, groupId: string): Promise<ChangedSubject[]> {
    const members = `s.status <> 'DECOMMISSIONED' AND s.id IN (SELECT m.device_id FROM group_members m WHERE m.group_id = $2)`;
    return this.raise(tx, 'device', members, groupId);
  }

  /** Subjects that a statement of the caller's has changed and raised. */
  changed(tx: Transaction, kind: Kind, subjects: readonly ChangedSubject[]): void {
    const { versions } = this.pendingOf(tx);
    for (const { id, version } of subjects) versions[kind].set(id, version);
  }

  /** Devices that the transaction has made: what is kept of them can only be that there is no such device. */
  created(tx: Transaction, devices: readonly ChangedSubject[]): void {
    this.changed(tx, 'device', devices);
    const { created } = this.pendingOf(tx);
    for (const { id } of devices) created.add(id);
  }

  /** Subjects whose sessions may have been opened under wider rights than they have now. They were touched before. */
  narrowed(tx: Transaction, kind: Kind, ids: Iterable<string>, why: string): void {
    const { narrowed } = this.pendingOf(tx);
    const known = narrowed.get(why) ?? { device: new Set<string>(), service: new Set<string>() };
    narrowed.set(why, known);
    for (const id of ids) known[kind].add(id);
  }

  private async raise(tx: Transaction, kind: Kind, which: string, param: unknown): Promise<ChangedSubject[]> {
    const table = TABLES[kind];
    const rows = await tx.query<{ id: string; version: string }>(
      `WITH locked AS (SELECT s.id FROM ${table} s WHERE s.tenant_id = $1 AND ${which} ORDER BY s.id FOR NO KEY UPDATE)
       UPDATE ${table} s SET version = s.version + 1 FROM locked WHERE s.id = locked.id
       RETURNING s.id, s.version + (SELECT t.version FROM tenants t WHERE t.id = s.tenant_id) AS version`,
      [tenantOf(tx), param],
    );
    const subjects = rows.map(({ id, version }) => ({ id, version: Number(version) }));
    this.changed(tx, kind, subjects);
    return subjects;
  }

  private pendingOf(tx: Transaction): Pending {
    let pending = this.pending.get(tx);
    if (pending === undefined) {
      const fresh: Pending = { created: new Set(), versions: { device: new Map(), service: new Map() }, narrowed: new Map() };
      tx.beforeCommit(() => this.orderNarrowed(tx, fresh));
      tx.afterCommit(() => this.settle(tenantOf(tx), fresh));
      this.pending.set(tx, fresh);
      pending = fresh;
    }
    return pending;
  }

  private async settle(tenantId: string, { created, versions, narrowed }: Pending): Promise<void> {
    await Promise.all([...created].map((id) => this.gate.invalidate('device', id, versions.device.get(id) ?? 1)));
    for (const kind of ['device', 'service'] as const) {
      const entries = [...versions[kind]].filter(([id]) => !created.has(id));
      for (let i = 0; i < entries.length; i += BATCH) await this.invalidate(tenantId, kind, entries.slice(i, i + BATCH));
    }
    if (narrowed.size > 0) this.narrowing.committed();
  }

  private async orderNarrowed(tx: Transaction, { narrowed }: Pending): Promise<void> {
    const tenantId = tenantOf(tx);
    for (const [why, ids] of narrowed) {
      const subjects = (['device', 'service'] as const).flatMap((kind) => [...ids[kind]].map((id) => ({ kind, id, tenantId })));
      await this.narrowing.ordered(tx, subjects, why);
    }
  }

  /**
   * What was seen in the transaction is announced at once: a database that has become slow must not keep the caches waiting. Then
   * versions are read again: a subject's and its tenant's are summed, and a tenant that was frozen between our statement and our
   * commit would make the sum that we saw a version that the caches know already.
   */
  private async invalidate(tenantId: string, kind: Kind, entries: readonly (readonly [string, number])[]): Promise<void> {
    const versions = new Map(entries);
    const announce = (pairs: readonly (readonly [string, number])[]): Promise<unknown> =>
      Promise.all(pairs.map(([id, version]) => this.gate.invalidate(kind, id, version)));
    await announce(entries);
    try {
      const rows = await this.transactions.run({ tenantId }, (tx) =>
        tx.query<{ id: string; version: string }>(
          `SELECT s.id, s.version + t.version AS version FROM ${TABLES[kind]} s JOIN tenants t ON t.id = s.tenant_id
            WHERE s.tenant_id = $1 AND s.id = ANY($2::uuid[])`,
          [tenantId, [...versions.keys()]],
        ));
      await announce(rows.map(({ id, version }) => [id, Number(version)] as const).filter(([id, version]) => version > (versions.get(id) ?? 0)));
    } catch (error) {
      logger.warn({ err: error }, 'versions could not be read after a change; those seen in it were announced');
    }
  }
}
