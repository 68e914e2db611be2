import { Body, Controller, Delete, Get, HttpCode, Patch, Post, Query } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Allow, Interactive, Me } from '../access/decorators.js';
import { Permission } from '../access/permission.js';
import type { Principal, TenantPrincipal } from '../access/principal.js';
import { Clock } from '../platform/clock/clock.js';
import { secondsOf } from '../platform/http/duration.js';
import { PageQuery } from '../platform/http/paging.js';
import { IdParam } from '../platform/http/uuid-param.js';
import { STALE_SECONDS } from './pat.js';
import {
  CreatePatRequest, IssuedPatView, PatPage, patRequest, PatScopesRequest, PatsRevoked, PatView, ResetPatRequest,
  showIssued, showPat, showPats, StalePatsQuery,
} from './pats.dto.js';
import { PatsService } from './pats.service.js';

@ApiTags('access tokens')
@Controller('pats')
export class PatsController {
  constructor(
    private readonly pats: PatsService,
    private readonly clock: Clock,
  ) {}

  @Get()
  @Interactive()
  @ApiOkResponse({ type: PatPage })
  async list(@Me() me: Principal, @Query() query: PageQuery): Promise<PatPage> {
    return showPats(await this.pats.list(me, query), this.clock);
  }

  @Post()
  @Interactive()
  @ApiCreatedResponse({ type: IssuedPatView })
  async create(@Me() me: Principal, @Body() body: CreatePatRequest): Promise<IssuedPatView> {
    return showIssued(await this.pats.create(me, patRequest(body)), this.clock);
  }

  @Delete()
  @Interactive()
  @ApiOkResponse({ type: PatsRevoked, description: 'All of your own in this tenant.' })
  async revokeAll(@Me() me: Principal): Promise<PatsRevoked> {
    return { revoked: await this.pats.revokeOwn(me) };
  }

  @Get('stale')
  @Allow(Permission.UsersRead)
  @ApiOkResponse({ type: PatPage, description: 'Living tokens of the tenant’s members that nobody uses.' })
  async stale(@Me() me: TenantPrincipal, @Query() { unusedFor, ...page }: StalePatsQuery): Promise<PatPage> {
    const seconds = unusedFor === undefined ? STALE_SECONDS : secondsOf(unusedFor);
    return showPats(await this.pats.stale(me, seconds, page), this.clock);
  }

  @Patch(':id/scope/add')
  @Interactive()
  @ApiOkResponse({ type: PatView })
  async addScopes(@Me() me: Principal, @IdParam() id: string, @Body() { scopes }: PatScopesRequest): Promise<PatView> {
    return showPat(await this.pats.addScopes(me, id, scopes), this.clock);
  }

  @Patch(':id/scope/remove')
  @Interactive()
  @ApiOkResponse({ type: PatView })
  async removeScopes(@Me() me: Principal, @IdParam() id: string, @Body() { scopes }: PatScopesRequest): Promise<PatView> {
    return showPat(await this.pats.removeScopes(me, id, scopes), this.clock);
  }

  @Patch(':id/revoke')
  @Interactive()
  @ApiOkResponse({ type: PatView })
  async revoke(@Me() me: Principal, @IdParam() id: string): Promise<PatView> {
    return showPat(await this.pats.revoke(me, id), this.clock);
  }

  @Patch(':id/reset')
  @Interactive()
  @ApiOkResponse({ type: IssuedPatView })
  async reset(@Me() me: Principal, @IdParam() id: string, @Body() { duration }: ResetPatRequest): Promise<IssuedPatView> {
    return showIssued(await this.pats.reset(me, id, duration === undefined ? undefined : secondsOf(duration)), this.clock);
  }
}

@ApiTags('users')
@Controller('users')
export class MemberPatsController {
  constructor(private readonly pats: PatsService) {}

  @Delete(':id/pats')
  @HttpCode(200)
  @Allow(Permission.UsersDisable)
  @ApiOkResponse({ type: PatsRevoked, description: 'All that the member has in your tenant.' })
  async revokeAll(@Me() me: TenantPrincipal, @IdParam() id: string): Promise<PatsRevoked> {
    return { revoked: await this.pats.revokeOf(me, id) };
  }
}
