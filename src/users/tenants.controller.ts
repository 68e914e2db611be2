import { Body, Controller, Delete, Get, HttpCode, Patch, Post, Query } from '@nestjs/common';
import { ApiCreatedResponse, ApiNoContentResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Allow, Me } from '../access/decorators.js';
import { Permission } from '../access/permission.js';
import type { Principal } from '../access/principal.js';
import { PageQuery } from '../platform/http/paging.js';
import { IdParam } from '../platform/http/uuid-param.js';
import { TenantMembersService } from './tenant-members.service.js';
import {
  AddTenantMemberRequest, CreateTenantRequest, showTenant, showTenants, TenantListResponse, TenantResponse, UpdateTenantRequest,
} from './tenants.dto.js';
import { TenantsService } from './tenants.service.js';
import { showUser, showUsers, UpdateUserRequest, UserListResponse, UserResponse } from './users.dto.js';

@ApiTags('tenants')
@Controller('tenants')
export class TenantsController {
  constructor(
    private readonly tenants: TenantsService,
    private readonly members: TenantMembersService,
  ) {}

  @Get()
  @Allow(Permission.PlatformTenantsRead)
  @ApiOkResponse({ type: TenantListResponse })
  async list(@Query() query: PageQuery): Promise<TenantListResponse> {
    return showTenants(await this.tenants.list(query));
  }

  @Post()
  @Allow(Permission.PlatformTenantsWrite)
  @ApiCreatedResponse({ type: TenantResponse })
  async create(@Me() me: Principal, @Body() { slug, name }: CreateTenantRequest): Promise<TenantResponse> {
    return showTenant(await this.tenants.create(me, slug, name));
  }

  @Get(':id')
  @Allow(Permission.PlatformTenantsRead)
  @ApiOkResponse({ type: TenantResponse })
  async get(@IdParam() id: string): Promise<TenantResponse> {
    return showTenant(await this.tenants.get(id));
  }

  @Patch(':id')
  @Allow(Permission.PlatformTenantsWrite)
  @ApiOkResponse({ type: TenantResponse })
  async rename(@Me() me: Principal, @IdParam() id: string, @Body() body: UpdateTenantRequest): Promise<TenantResponse> {
    return showTenant(await this.tenants.rename(me, id, body));
  }

  @Get(':id/members')
  @Allow(Permission.PlatformTenantsRead)
  @ApiOkResponse({ type: UserListResponse })
  async listMembers(@Me() me: Principal, @IdParam() id: string, @Query() query: PageQuery): Promise<UserListResponse> {
    return showUsers(await this.members.list(me, id, query));
  }

  @Post(':id/members')
  @Allow(Permission.PlatformMembersWrite)
  @ApiCreatedResponse({ type: UserResponse })
  async addMember(@Me() me: Principal, @IdParam() id: string, @Body() { email, role }: AddTenantMemberRequest): Promise<UserResponse> {
    return showUser(await this.members.add(me, id, email, role));
  }

  @Patch(':id/members/:userId')
  @Allow(Permission.PlatformMembersWrite)
  @ApiOkResponse({ type: UserResponse })
  async changeRole(
    @Me() me: Principal,
    @IdParam() id: string,
    @IdParam('userId') userId: string,
    @Body() { role }: UpdateUserRequest,
  ): Promise<UserResponse> {
    return showUser(await this.members.changeRole(me, id, userId, role));
  }

  @Delete(':id/members/:userId')
  @HttpCode(204)
  @Allow(Permission.PlatformMembersWrite)
  @ApiNoContentResponse({ description: 'The membership, its sessions and access tokens ended; the account stays.' })
  async removeMember(@Me() me: Principal, @IdParam() id: string, @IdParam('userId') userId: string): Promise<void> {
    await this.members.remove(me, id, userId);
  }
}
