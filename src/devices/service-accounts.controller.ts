import { Controller, Get, Query } from '@nestjs/common';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Allow, Me } from '../access/decorators.js';
import { Permission } from '../access/permission.js';
import type { TenantPrincipal } from '../access/principal.js';
import { PageQuery } from '../platform/http/paging.js';
import { IdParam } from '../platform/http/uuid-param.js';
import { ServiceAccountPage, ServiceAccountView, viewPage, viewServiceAccount } from './devices.dto.js';
import { ServiceAccountsService } from './service-accounts.service.js';

@ApiTags('service-accounts')
@Controller('service-accounts')
export class ServiceAccountsController {
  constructor(private readonly accounts: ServiceAccountsService) {}

  @Get()
  @Allow(Permission.ServiceAccountsRead)
  @ApiOkResponse({ type: ServiceAccountPage })
  async list(@Me() me: TenantPrincipal, @Query() query: PageQuery): Promise<ServiceAccountPage> {
    return viewPage(await this.accounts.list(me, query), viewServiceAccount);
  }

  @Get(':id')
  @Allow(Permission.ServiceAccountsRead)
  @ApiOkResponse({ type: ServiceAccountView })
  async show(@Me() me: TenantPrincipal, @IdParam() id: string): Promise<ServiceAccountView> {
    return viewServiceAccount(await this.accounts.show(me, id));
  }
}
