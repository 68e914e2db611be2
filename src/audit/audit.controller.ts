import { Controller, Get, Query, StreamableFile } from '@nestjs/common';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Allow, Me } from '../access/decorators.js';
import { Permission } from '../access/permission.js';
import type { TenantPrincipal } from '../access/principal.js';
import { AuditLogService } from './audit-log.service.js';
import { AuditExportQuery, AuditLogPage, AuditLogQuery } from './audit.dto.js';

const NDJSON = 'application/x-ndjson';

@ApiTags('audit')
@Controller('audit/logs')
export class AuditController {
  constructor(private readonly log: AuditLogService) {}

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
}
