import { Controller, Delete, Get, HttpCode, Query } from '@nestjs/common';
import { ApiNoContentResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Interactive, Me } from '../access/decorators.js';
import type { Principal } from '../access/principal.js';
import { PageQuery } from '../platform/http/paging.js';
import { IdParam } from '../platform/http/uuid-param.js';
import { SessionListResponse, showSessions } from './auth.dto.js';
import { SessionsService } from './sessions.service.js';

@ApiTags('auth')
@Controller('auth/sessions')
export class SessionsController {
  constructor(private readonly sessions: SessionsService) {}

  @Get()
  @Interactive()
  @ApiOkResponse({ type: SessionListResponse })
  async list(@Me() me: Principal, @Query() query: PageQuery): Promise<SessionListResponse> {
    return showSessions(await this.sessions.list(me, query), me.sessionId);
  }

  @Delete(':id')
  @HttpCode(204)
  @Interactive()
  @ApiNoContentResponse()
  async end(@Me() me: Principal, @IdParam() id: string): Promise<void> {
    await this.sessions.endOwn(me, id, 'revoked');
  }
}
