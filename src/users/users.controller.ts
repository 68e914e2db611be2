import { Body, Controller, Delete, Get, HttpCode, Patch, Post, Query } from '@nestjs/common';
import { ApiCreatedResponse, ApiNoContentResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Allow, Me } from '../access/decorators.js';
import { Permission } from '../access/permission.js';
import type { TenantPrincipal } from '../access/principal.js';
import { PageQuery } from '../platform/http/paging.js';
import { IdParam } from '../platform/http/uuid-param.js';
import {
  CreateUserRequest, OffboardedResponse, OffboardRequest, showUser, showUsers, UpdateUserRequest, UserListResponse, UserResponse,
} from './users.dto.js';
import { UsersService } from './users.service.js';

@ApiTags('users')
@Controller('users')
export class UsersController {
  constructor(private readonly users: UsersService) {}

  @Get()
  @Allow(Permission.UsersRead)
  @ApiOkResponse({ type: UserListResponse })
  async list(@Me() me: TenantPrincipal, @Query() query: PageQuery): Promise<UserListResponse> {
    return showUsers(await this.users.list(me, query));
  }

  @Post()
  @Allow(Permission.UsersCreate)
  @ApiCreatedResponse({ type: UserResponse })
  async create(@Me() me: TenantPrincipal, @Body() body: CreateUserRequest): Promise<UserResponse> {
    return showUser(await this.users.create(me, body));
  }

  @Get(':id')
  @Allow(Permission.UsersRead)
  @ApiOkResponse({ type: UserResponse })
  async get(@Me() me: TenantPrincipal, @IdParam() id: string): Promise<UserResponse> {
    return showUser(await this.users.get(me, id));
  }

  @Patch(':id')
  @Allow(Permission.UsersUpdate)
  @ApiOkResponse({ type: UserResponse })
  async changeRole(@Me() me: TenantPrincipal, @IdParam() id: string, @Body() { role }: UpdateUserRequest): Promise<UserResponse> {
    return showUser(await this.users.changeRole(me, id, role));
  }

  @Delete(':id')
  @HttpCode(204)
  @Allow(Permission.UsersDisable)
  @ApiNoContentResponse({ description: 'The membership and its sessions ended; the account stays.' })
  async remove(@Me() me: TenantPrincipal, @IdParam() id: string): Promise<void> {
    await this.users.remove(me, id);
  }

  @Post(':id/disable')
  @HttpCode(200)
  @Allow(Permission.UsersDisable)
  @ApiOkResponse({ type: UserResponse })
  async disable(@Me() me: TenantPrincipal, @IdParam() id: string): Promise<UserResponse> {
    return showUser(await this.users.disable(me, id));
  }

  @Post(':id/offboard')
  @HttpCode(200)
  @Allow(Permission.UsersDisable)
  @ApiOkResponse({ type: OffboardedResponse, description: 'Disabled here; sessions, access tokens and sent invitations ended.' })
  async offboard(@Me() me: TenantPrincipal, @IdParam() id: string, @Body() { reason }: OffboardRequest): Promise<OffboardedResponse> {
    const { member, cut, tookMs } = await this.users.offboard(me, id, reason);
    return { ...showUser(member), ...cut, tookMs };
  }

  @Post(':id/enable')
  @HttpCode(200)
  @Allow(Permission.UsersDisable)
  @ApiOkResponse({ type: UserResponse })
  async enable(@Me() me: TenantPrincipal, @IdParam() id: string): Promise<UserResponse> {
    return showUser(await this.users.enable(me, id));
  }
}
