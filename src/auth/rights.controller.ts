import { Controller, Get, Query } from '@nestjs/common';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Allow, Interactive, Me } from '../access/decorators.js';
import { Permission } from '../access/permission.js';
import type { Principal, TenantPrincipal } from '../access/principal.js';
import { PageQuery } from '../platform/http/paging.js';
import { IdParam } from '../platform/http/uuid-param.js';
import { AblePage, CheckQuery, CheckView, HoldingsView, questionOf, viewAble, viewCheck, viewHoldings, WhoCanQuery } from './rights.dto.js';
import { RightsService } from './rights.service.js';

@ApiTags('access')
@Controller('access')
export class RightsController {
  constructor(private readonly rights: RightsService) {}

  @Get('who-can')
  @Allow(Permission.BindingsRead)
  @ApiOkResponse({ type: AblePage })
  async whoCan(@Me() me: TenantPrincipal, @Query() query: WhoCanQuery): Promise<AblePage> {
    return viewAble(await this.rights.whoCan(me, questionOf(query), query));
  }

  @Get('check')
  @Allow(Permission.BindingsRead)
  @ApiOkResponse({ type: CheckView })
  async check(@Me() me: TenantPrincipal, @Query() query: CheckQuery): Promise<CheckView> {
    return viewCheck(await this.rights.check(me, query.userId, query.patId, questionOf(query)));
  }

  @Get('me')
  @Interactive()
  @ApiOkResponse({ type: HoldingsView })
  async own(@Me() me: Principal, @Query() query: PageQuery): Promise<HoldingsView> {
    return viewHoldings(await this.rights.own(me, query));
  }

  @Get('principals/:userId')
  @Allow(Permission.BindingsRead)
  @ApiOkResponse({ type: HoldingsView })
  async principal(@Me() me: TenantPrincipal, @IdParam('userId') userId: string, @Query() query: PageQuery): Promise<HoldingsView> {
    return viewHoldings(await this.rights.holdings(me, userId, query));
  }
}
