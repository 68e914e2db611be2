import { Readable } from 'node:stream';
import { Injectable } from '@nestjs/common';
import type { TenantPrincipal } from '../access/principal.js';
import { Permission } from '../access/permission.js';
import { Transactions } from '../platform/database/transactions.js';
import { decodeCursor, DEFAULT_PAGE, pageOf, type Keyset, type Page } from '../platform/http/paging.js';
import { actorOf } from './audit-event.js';
import { filterOf, type AuditFilter } from './audit-filter.js';
import { AuditLogRepository, type AuditLogRow } from './audit-log.repository.js';
import { keyOf, viewOf } from './audit-log.view.js';
import { AuditVigil, type Vigil } from './audit-vigil.js';
import type { AuditExportQuery, AuditLogQuery, AuditLogView } from './audit.dto.js';
import { AuditService } from './audit.service.js';

/** Rows that an export holds in memory at a time. */
const EXPORT_BATCH = 500;

/** Reads the log of the caller's tenant; for the platform plane also the rows that are nobody's. */
@Injectable()
export class AuditLogService {
  constructor(
    private readonly repository: AuditLogRepository,
    private readonly transactions: Transactions,
    private readonly audit: AuditService,
    private readonly vigils: AuditVigil,
  ) {}

  async list(principal: TenantPrincipal, query: AuditLogQuery): Promise<Page<AuditLogView>> {
    const limit = query.limit ?? DEFAULT_PAGE;
    const rows = await this.read(principal, filterOf(query), decodeCursor(query.cursor), limit + 1);
    return pageOf(rows, limit, keyOf, viewOf);
  }

  /**
   * The whole answer of a query as NDJSON, newest first, read while the client reads: a slow client holds no transaction and no
   * more than one batch. The export itself is recorded before its first line. It breaks off, and the connection with it, once the
   * caller may export no more.
   */
  async export(principal: TenantPrincipal, query: AuditExportQuery): Promise<Readable> {
    const filter = filterOf(query);
    await this.transactions.run({ tenantId: principal.tenantId }, (tx) => this.audit.record(tx, {
      type: 'AUDIT_EXPORTED',
      tenantId: principal.tenantId,
      actor: actorOf(principal),
      details: { filter: { ...query } },
    }));
    // The first batch is read before any header is sent, so that a failure can still be told as one.
    const first = await this.read(principal, filter, undefined, EXPORT_BATCH);
    const rights = [Permission.AuditExport, ...(principal.permissions.has(Permission.PlatformAuditRead) ? [Permission.PlatformAuditRead] : [])];
    return Readable.from(this.lines(principal, filter, first, this.vigils.over(principal, rights)), { objectMode: false, highWaterMark: 64 * 1024 });
  }

  private async* lines(principal: TenantPrincipal, filter: AuditFilter, first: AuditLogRow[], vigil: Vigil): AsyncGenerator<string> {
    let rows = first;
    for (;;) {
      if (rows.length > 0) yield rows.map((row) => `${JSON.stringify(viewOf(row))}\n`).join('');
      const last = rows.at(-1);
      if (!last || rows.length < EXPORT_BATCH) return;
      // An error, not an end: half an export must not look like a whole one.
      if (!(await vigil())) throw new Error('the caller of an export lost the right to it');
      rows = await this.read(principal, filter, keyOf(last), EXPORT_BATCH);
    }
  }

  private read(
    { tenantId, permissions }: TenantPrincipal,
    filter: AuditFilter,
    after: Keyset | undefined,
    limit: number,
  ): Promise<AuditLogRow[]> {
    const query = { tenantId, filter, after, limit };
    if (permissions.has(Permission.PlatformAuditRead)) return this.repository.findWithNobodys(query);
    return this.transactions.run({ tenantId }, (tx) => this.repository.find(tx, query));
  }
}
