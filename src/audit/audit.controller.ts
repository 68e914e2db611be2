import { Controller, Get, Header, Headers, Query, StreamableFile } from '@nestjs/common';
import { ApiHeader, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Allow, Me } from '../access/decorators.js';
import { Permission } from '../access/permission.js';
import type { TenantPrincipal } from '../access/principal.js';
import { AuditLogService } from './audit-log.service.js';
import { AuditTailService } from './audit-tail.service.js';
import { AuditExportQuery, AuditLogPage, AuditLogQuery, AuditTailQuery } from './audit.dto.js';

const NDJSON = 'application/x-ndjson';
const EVENTS = 'text/event-stream';

@ApiTags('audit')
@Controller('audit/logs')
export class AuditController {
  constructor(
    private readonly log: AuditLogService,
    private readonly tail: AuditTailService,
  ) {}

  /** The security log, newest first. */
  @Get()
  @Allow(Permission.AuditRead)
  @ApiOkResponse({ type: AuditLogPage })
  list(@Me() me: TenantPrincipal, @Query() query: AuditLogQuery): Promise<AuditLogPage> {
    return this.log.list(me, query);
  }

  /** The same as NDJSON, an entry a line, without pages. */
  @Get('export')
  @Allow(Permission.AuditExport)
  @ApiOkResponse({ content: { [NDJSON]: { schema: { type: 'string', description: 'An entry of the log a line.' } } } })
  async export(@Me() me: TenantPrincipal, @Query() query: AuditExportQuery): Promise<StreamableFile> {
    const lines = await this.log.export(me, query);
    return new StreamableFile(lines, { type: NDJSON, disposition: 'attachment; filename="audit.ndjson"' });
  }

  /**
   * What is written from now on, as server-sent events, within a second. `Last-Event-ID` goes on where a stream broke off, an hour
   * back at most (`event: gap` tells what is left out); rows of the ten seconds before it may come again, under their old ids.
   * `event: end` says why the server ended the stream: ACCESS_ENDED (the right was lost), UNAVAILABLE or CLOSING (come again).
   */
  @Get('stream')
  @Allow(Permission.AuditRead)
  @Header('x-accel-buffering', 'no')
  // A connection that ends with its stream is not left over for a process that stops to wait for.
  @Header('connection', 'close')
  @ApiHeader({ name: 'Last-Event-ID', required: false, description: 'Id of the last event that was seen.' })
  @ApiOkResponse({ content: { [EVENTS]: { schema: { type: 'string', description: 'An entry of the log an event.' } } } })
  async stream(@Me() me: TenantPrincipal, @Query() query: AuditTailQuery, @Headers('last-event-id') seen?: string): Promise<StreamableFile> {
    return new StreamableFile(await this.tail.follow(me, query, seen), { type: EVENTS });
  }
}
