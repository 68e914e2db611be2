import { Body, Controller, Get, HttpCode, Patch, Post } from '@nestjs/common';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Allow, Me } from '../access/decorators.js';
import { Permission } from '../access/permission.js';
import type { Principal } from '../access/principal.js';
import { IdParam } from '../platform/http/uuid-param.js';
import { AccountResponse, DepartureResponse, showAccount, showDeparture, UpdateAccountRequest } from './platform-accounts.dto.js';
import { PlatformAccountsService } from './platform-accounts.service.js';
import { OffboardRequest } from './users.dto.js';

@ApiTags('accounts')
@Controller('accounts')
export class PlatformAccountsController {
  constructor(private readonly accounts: PlatformAccountsService) {}

  @Get(':id')
  @Allow(Permission.PlatformTenantsRead)
  @ApiOkResponse({ type: AccountResponse })
  async get(@IdParam() id: string): Promise<AccountResponse> {
    return showAccount(await this.accounts.get(id));
  }

  @Patch(':id')
  @Allow(Permission.PlatformMembersWrite)
  @ApiOkResponse({ type: AccountResponse })
  async setPlatformRole(@Me() me: Principal, @IdParam() id: string, @Body() { platformRole }: UpdateAccountRequest): Promise<AccountResponse> {
    return showAccount(await this.accounts.setPlatformRole(me, id, platformRole === 'NONE' ? null : platformRole));
  }

  @Post(':id/offboard')
  @HttpCode(200)
  @Allow(Permission.PlatformMembersWrite)
  @ApiOkResponse({ type: DepartureResponse, description: 'The account closed; memberships, sessions, access tokens and sent invitations ended in every tenant.' })
  async offboard(@Me() me: Principal, @IdParam() id: string, @Body() { reason }: OffboardRequest): Promise<DepartureResponse> {
    return showDeparture(await this.accounts.offboard(me, id, reason));
  }

  @Post(':id/enable')
  @HttpCode(200)
  @Allow(Permission.PlatformMembersWrite)
  @ApiOkResponse({ type: AccountResponse, description: 'May log in again; what the account had is given anew.' })
  async enable(@Me() me: Principal, @IdParam() id: string): Promise<AccountResponse> {
    return showAccount(await this.accounts.enable(me, id));
  }
}
