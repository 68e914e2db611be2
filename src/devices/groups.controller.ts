import { Body, Controller, Delete, Get, HttpCode, Patch, Post, Query } from '@nestjs/common';
import { ApiCreatedResponse, ApiNoContentResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Allow, Me } from '../access/decorators.js';
import { Permission } from '../access/permission.js';
import type { TenantPrincipal } from '../access/principal.js';
import { PageQuery } from '../platform/http/paging.js';
import { IdParam } from '../platform/http/uuid-param.js';
import {
  CreateGroupRequest, GroupMembersRequest, GroupPage, GroupView, MemberPage, MembersAdded, UpdateGroupRequest,
  viewGroup, viewMember, viewPage,
} from './devices.dto.js';
import { GroupsService } from './groups.service.js';

@ApiTags('groups')
@Controller('groups')
export class GroupsController {
  constructor(private readonly groups: GroupsService) {}

  @Get()
  @Allow(Permission.GroupsRead, { lists: 'group' })
  @ApiOkResponse({ type: GroupPage })
  async list(@Me() me: TenantPrincipal, @Query() query: PageQuery): Promise<GroupPage> {
    return viewPage(await this.groups.list(me, query), viewGroup);
  }

  @Post()
  @Allow(Permission.GroupsCreate)
  @ApiCreatedResponse({ type: GroupView })
  async create(@Me() me: TenantPrincipal, @Body() body: CreateGroupRequest): Promise<GroupView> {
    return viewGroup(await this.groups.create(me, body));
  }

  @Get(':id')
  @Allow(Permission.GroupsRead, { on: 'group' })
  @ApiOkResponse({ type: GroupView })
  async show(@Me() me: TenantPrincipal, @IdParam() id: string): Promise<GroupView> {
    return viewGroup(await this.groups.show(me, id));
  }

  @Patch(':id')
  @Allow(Permission.GroupsUpdate, { on: 'group' })
  @ApiOkResponse({ type: GroupView })
  async update(@Me() me: TenantPrincipal, @IdParam() id: string, @Body() body: UpdateGroupRequest): Promise<GroupView> {
    return viewGroup(await this.groups.update(me, id, body));
  }

  @Delete(':id')
  @HttpCode(204)
  @Allow(Permission.GroupsDelete, { on: 'group' })
  @ApiNoContentResponse()
  async remove(@Me() me: TenantPrincipal, @IdParam() id: string): Promise<void> {
    await this.groups.remove(me, id);
  }

  @Get(':id/members')
  @Allow(Permission.GroupsRead, { on: 'group' })
  @ApiOkResponse({ type: MemberPage })
  async members(@Me() me: TenantPrincipal, @IdParam() id: string, @Query() query: PageQuery): Promise<MemberPage> {
    return viewPage(await this.groups.members(me, id, query), viewMember);
  }

  @Post(':id/members')
  @HttpCode(200)
  @Allow(Permission.GroupsUpdate, { on: 'group' })
  @ApiOkResponse({ type: MembersAdded })
  async addMembers(@Me() me: TenantPrincipal, @IdParam() id: string, @Body() body: GroupMembersRequest): Promise<MembersAdded> {
    return { added: await this.groups.addMembers(me, id, body.deviceIds) };
  }

  @Delete(':id/members')
  @HttpCode(204)
  @Allow(Permission.GroupsUpdate, { on: 'group' })
  @ApiNoContentResponse()
  async removeMembers(@Me() me: TenantPrincipal, @IdParam() id: string, @Body() body: GroupMembersRequest): Promise<void> {
    await this.groups.removeMembers(me, id, body.deviceIds);
  }

  @Delete(':id/members/:deviceId')
  @HttpCode(204)
  @Allow(Permission.GroupsUpdate, { on: 'group' })
  @ApiNoContentResponse()
  async removeMember(@Me() me: TenantPrincipal, @IdParam() id: string, @IdParam('deviceId') deviceId: string): Promise<void> {
    await this.groups.removeMembers(me, id, [deviceId]);
  }
}
