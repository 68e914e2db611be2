import { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { Inject, Injectable, type BeforeApplicationShutdown } from '@nestjs/common';
import { Permission } from '../access/permission.js';
import type { TenantPrincipal } from '../access/principal.js';
import { Clock } from '../platform/clock/clock.js';
import { Transactions } from '../platform/database/transactions.js';
import { decodeCursor, encodeCursor } from '../platform/http/paging.js';
import { logger } from '../platform/telemetry/logger.js';
import { filterOf, type AuditFilter } from './audit-filter.js';
import { AuditLogRepository, type AuditLogRow } from './audit-log.repository.js';
import { keyOf, viewOf } from './audit-log.view.js';
import { AUDIT_TIMES, AuditVigil, type AuditTimes, type Vigil } from './audit-vigil.js';
import { AuditWindow, OVERLAP_MS } from './audit-window.js';
import type { AuditTailQuery } from './audit.dto.js';
import { auditError } from './audit.errors.js';

const BATCH = 200;
const STREAMS_A_PRINCIPAL = 3;
const STREAMS = 50;
/** Further back an export is asked for, which is another permission. */
const MAX_BACK_MS = 60 * 60_000;

interface Tail {
  readonly principal: TenantPrincipal;
  readonly filter: AuditFilter;
  readonly window: AuditWindow;
  readonly vigil: Vigil;
  /** What is told before the first row. */
  readonly greeting: string;
}

/**
 * Follows the log as server-sent events. New rows are looked for in Postgres, so those of every instance are told; a slow reader is
 * read for no faster than it takes, and holds no transaction while it waits.
 */
@Injectable()
export class AuditTailService implements BeforeApplicationShutdown {
  private readonly closing = new AbortController();
  private readonly open = new Map<string, number>();
  private total = 0;

  constructor(
    private readonly repository: AuditLogRepository,
    private readonly transactions: Transactions,
    private readonly vigils: AuditVigil,
    private readonly clock: Clock,
    @Inject(AUDIT_TIMES) private readonly times: AuditTimes,
  ) {}

  /**
   * @param lastEventId id of the last event that the caller has seen; rows written meanwhile follow, some perhaps twice.
   * @throws AUDIT_STREAMS_BUSY, CURSOR_INVALID, VALIDATION_FAILED
   */
  async follow(principal: TenantPrincipal, query: AuditTailQuery, lastEventId: string | undefined): Promise<Readable> {
    const filter = filterOf(query);
    const seen = decodeCursor(lastEventId || undefined);
    const release = this.admit(principal);
    try {
      const tail = await this.begin(principal, filter, seen === undefined ? null : Date.parse(seen.at));
      return this.readable(tail, release);
    } catch (error) {
      release();
      throw error;
    }
  }

  beforeApplicationShutdown(): void {
    this.closing.abort();
  }

  /** Not `Readable.from`: that would hear of a reader who went away only with the next row. */
  private readable(tail: Tail, release: () => void): Readable {
    const gone = new AbortController();
    const events = this.events(tail, AbortSignal.any([gone.signal, this.closing.signal]));
    const stream = new Readable({
      highWaterMark: 16 * 1024,
      read: () => {
        events.next().then(({ value, done }) => stream.push(done ? null : value), (error: Error) => stream.destroy(error));
      },
      destroy: (error, done) => {
        gone.abort();
        release();
        done(error);
      },
    });
    return stream;
  }

  private admit({ id }: TenantPrincipal): () => void {
    const own = this.open.get(id) ?? 0;
    if (own >= STREAMS_A_PRINCIPAL || this.total >= STREAMS || this.closing.signal.aborted) {
      throw auditError('AUDIT_STREAMS_BUSY', { headers: { 'retry-after': '5' } });
    }
    this.open.set(id, own + 1);
    this.total += 1;
    let released = false;
    return () => {
      if (released) return;
      released = true;
      this.total -= 1;
      const left = (this.open.get(id) ?? 1) - 1;
      if (left === 0) this.open.delete(id);
      else this.open.set(id, left);
    };
  }

  /** What is there already is known, so that only what comes is told; after a break, what came meanwhile is told too. */
  private async begin(principal: TenantPrincipal, filter: AuditFilter, seen: number | null): Promise<Tail> {
    const now = this.clock.now();
    const rights = [Permission.AuditRead, ...(principal.permissions.has(Permission.PlatformAuditRead) ? [Permission.PlatformAuditRead] : [])];
    const vigil = this.vigils.over(principal, rights);
    const oldest = now - MAX_BACK_MS;
    const window = new AuditWindow(Math.max((seen ?? now) - OVERLAP_MS, oldest));
    const tail = { principal, filter, window, vigil, greeting: 'retry: 2000\n: the security log from here on\n\n' };
    if (seen !== null && seen < oldest) {
      const gap = { from: new Date(seen).toISOString(), to: new Date(oldest).toISOString() };
      return { ...tail, greeting: `${tail.greeting}event: gap\ndata: ${JSON.stringify(gap)}\n\n` };
    }
    if (seen !== null) return tail;
    for (let rows = await this.next(tail); rows.length > 0; rows = await this.next(tail)) window.tell(rows.map(keyOf));
    return tail;
  }

  private async* events(tail: Tail, stop: AbortSignal): AsyncGenerator<string, undefined> {
    yield tail.greeting;
    let told = performance.now();
    for (;;) {
      if (stop.aborted) return void (yield ended('CLOSING'));
      if (!(await tail.vigil())) return void (yield ended('ACCESS_ENDED'));
      const rows = await this.next(tail).catch((error: unknown) => {
        logger.warn({ err: error }, 'a stream of the security log could not read on');
        return null;
      });
      if (rows === null) return void (yield ended('UNAVAILABLE'));
      if (rows.length > 0) {
        tail.window.tell(rows.map(keyOf));
        const mark = tail.window.mark;
        yield rows.map((row) => `id: ${encodeCursor(mark ?? keyOf(row))}\ndata: ${JSON.stringify(viewOf(row))}\n\n`).join('');
        told = performance.now();
      } else if (performance.now() - told >= this.times.heartbeat) {
        yield ': still here\n\n';
        told = performance.now();
      }
      if (rows.length < BATCH) await pause(this.times.poll, undefined, { signal: stop, ref: false }).catch(() => undefined);
    }
  }

  private next({ principal: { tenantId, permissions }, filter, window }: Tail): Promise<AuditLogRow[]> {
    const query = { tenantId, filter, since: window.floor, without: window.ids, limit: BATCH };
    if (permissions.has(Permission.PlatformAuditRead)) return this.repository.findNewWithNobodys(query);
    return this.transactions.run({ tenantId }, (tx) => this.repository.findNew(tx, query));
  }
}

/** The last event of a stream that the server ends. */
function ended(reason: 'ACCESS_ENDED' | 'UNAVAILABLE' | 'CLOSING'): string {
  return `event: end\ndata: ${JSON.stringify({ reason })}\n\n`;
}
