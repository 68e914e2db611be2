import { Injectable, type BeforeApplicationShutdown, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { Clock } from '../platform/clock/clock.js';
import { logger } from '../platform/telemetry/logger.js';
import { AuditBuffer, laneOf, type Lane } from './audit-buffer.js';
import type { AuditEvent } from './audit-event.js';
import type { AuditRow } from './audit-row.js';
import { AuditRepository } from './audit.repository.js';

/** Twice within the 500 ms after which a row must stand in the table. */
const TICK_MS = 200;
const FLUSH_AT = 200;
const BATCH = 1_000;
const RETRY_FIRST_MS = 250;
const RETRY_MOST_MS = 5_000;
const DRAIN_MS = 5_000;

export interface AuditStreamStats {
  /** Rows that wait, those of a batch that is being retried included. */
  readonly queued: number;
  readonly written: number;
  /** Events dropped for want of room, or refused by Postgres, by lane. */
  readonly dropped: Readonly<Record<Lane, number>>;
  /** Events that were counted into another row. */
  readonly aggregated: number;
}

/**
 * The lane of connect and ACL verdicts: an event costs the caller a few microseconds and no I/O. Rows are written in batches;
 * while Postgres is away they wait in bounded memory, and what finds no room is counted in a LOG_GAP row.
 */
@Injectable()
export class AuditStream implements OnModuleInit, BeforeApplicationShutdown, OnApplicationShutdown {
  private readonly buffer = new AuditBuffer();
  /** Taken out of the buffer and not yet written. */
  private batch: AuditRow[] = [];
  private written = 0;
  private retryMs = 0;
  private retryAt = 0;
  private flushing: Promise<void> | null = null;
  private soon = false;
  private timer: NodeJS.Timeout | null = null;
  private drainEnd: number | undefined;

  constructor(
    private readonly repository: AuditRepository,
    private readonly clock: Clock,
  ) {}

  onModuleInit(): void {
    this.timer = setInterval(() => void this.tick(), TICK_MS).unref();
  }

  /** Notes an event. Never throws, never waits; its time is now. */
  note(event: AuditEvent): void {
    this.takeIn(event, false);
  }

  /** As `note`, of one frozen object that the caller keeps for as long as nothing in it changes: its repeats cost next to nothing. */
  noteAgain(event: AuditEvent): void {
    this.takeIn(event, true);
  }

  /** Writes what is due now. Resolves when nothing is left, or when Postgres cannot be reached (then it is retried later). */
  flush(): Promise<void> {
    return this.exclusively(false);
  }

  get stats(): AuditStreamStats {
    const { dropped, aggregated, queued } = this.buffer;
    return { queued: queued + this.batch.length, written: this.written, dropped, aggregated };
  }

  /** Most of what there is, before the listeners close. */
  async beforeApplicationShutdown(): Promise<void> {
    await this.drain();
  }

  /** What was noted while they closed. The pools end after this, as they belong to the ground floor. */
  async onApplicationShutdown(): Promise<void> {
    if (this.timer) clearInterval(this.timer);
    await this.drain();
    const { queued } = this.stats;
    if (queued > 0) logger.error({ queued }, 'audit rows were lost at shutdown: Postgres did not take them');
  }

  private takeIn(event: AuditEvent, again: boolean): void {
    try {
      if (again) this.buffer.addAgain(event, this.clock.now());
      else this.buffer.add(event, this.clock.now());
    } catch (error) {
      this.buffer.drop('rest', null, this.clock.now());
      logger.error({ err: error, type: event.type }, 'an audit event could not be read');
    }
    if (this.soon || this.buffer.queued < FLUSH_AT) return;
    this.soon = true;
    setImmediate(() => {
      this.soon = false;
      void this.tick();
    });
  }

  private async tick(): Promise<void> {
    // A monotonic clock: a wall clock that is set back must not delay a retry.
    if (this.flushing || performance.now() < this.retryAt) return;
    await this.flush();
  }

  private async drain(): Promise<void> {
    const end = (this.drainEnd ??= performance.now() + DRAIN_MS);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, Math.max(end - performance.now(), TICK_MS))));
    const write = async (): Promise<void> => {
      for (;;) {
        await this.exclusively(true);
        if (this.batch.length === 0 || performance.now() + this.retryMs > end) return;
        await new Promise((resolve) => setTimeout(resolve, this.retryMs).unref());
      }
    };
    await Promise.race([write(), late]);
    clearTimeout(timer);
  }

  /** One writer at a time; a second caller waits and then looks again, so that what it noted before is written as well. */
  private async exclusively(ending: boolean): Promise<void> {
    while (this.flushing) await this.flushing;
    this.flushing = this.writeAll(ending).finally(() => (this.flushing = null));
    await this.flushing;
  }

  private async writeAll(ending: boolean): Promise<void> {
    for (;;) {
      if (this.batch.length === 0) this.batch = this.buffer.take(BATCH, this.clock.now(), ending);
      if (this.batch.length === 0) return;
      try {
        await this.writeBatch();
        this.retryMs = 0;
      } catch (error) {
        if (this.retryMs === 0) logger.error({ err: error }, 'the security log cannot be written; events wait in memory');
        this.retryMs = Math.min(this.retryMs === 0 ? RETRY_FIRST_MS : this.retryMs * 2, RETRY_MOST_MS);
        this.retryAt = performance.now() + this.retryMs;
        return;
      }
    }
  }

  /** Writes the batch, a transaction a tenant; what was written leaves it. */
  private async writeBatch(): Promise<void> {
    for (const [tenantId, rows] of byTenant(this.batch)) {
      try {
        await this.repository.insertBatch(tenantId, rows);
        this.settle(rows, rows.length);
      } catch (error) {
        if (!blamesARow(error)) throw error;
        await this.writeSingly(tenantId, rows);
      }
    }
  }

  /** Finds the rows that Postgres refuses: the good ones land, a bad one is dropped and counted. */
  private async writeSingly(tenantId: string | null, rows: readonly AuditRow[]): Promise<void> {
    for (const row of rows) {
      try {
        await this.repository.insertBatch(tenantId, [row]);
        this.settle([row], 1);
      } catch (error) {
        if (!blamesARow(error)) throw error;
        logger.error({ err: error, type: row.eventType, id: row.id }, 'Postgres refused an audit row');
        this.buffer.drop(laneOf(row.severity), row.tenantId, row.occurredAt, row.events);
        this.settle([row], 0);
      }
    }
  }

  private settle(rows: readonly AuditRow[], written: number): void {
    const done = new Set(rows);
    this.batch = this.batch.filter((row) => !done.has(row));
    this.written += written;
  }
}

function byTenant(rows: readonly AuditRow[]): Map<string | null, AuditRow[]> {
  const groups = new Map<string | null, AuditRow[]>();
  for (const row of rows) {
    const group = groups.get(row.tenantId);
    if (group) group.push(row);
    else groups.set(row.tenantId, [row]);
  }
  return groups;
}

/**
 * Whether Postgres refused what it was given (SQLSTATE classes 21, 22, 23, 54). Anything else (connection, shutdown, full disk,
 * read-only standby, missing right) may pass, so the batch is kept.
 */
function blamesARow(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' && /^(?:21|22|23|54)[0-9A-Z]{3}$/.test(code);
}
