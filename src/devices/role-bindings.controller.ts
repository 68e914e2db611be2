import { Body, Controller, Delete, Get, HttpCode, Post, Query } from '@nestjs/common';
import { ApiCreatedResponse, ApiNoContentResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Allow, Me } from '../access/decorators.js';
import { Permission } from '../access/permission.js';
import type { TenantPrincipal } from '../access/principal.js';
import { IdParam } from '../platform/http/uuid-param.js';
import { viewPage } from './devices.dto.js';
import { BindingView, viewBinding } from './role-binding.view.js';
import { BindingListQuery, bindingOf, BindingPage, CreateBindingRequest } from './role-bindings.dto.js';
import { RoleBindingsService } from './role-bindings.service.js';

@ApiTags('access')
@Controller('role-bindings')
export class RoleBindingsController {
  constructor(private readonly bindings: RoleBindingsService) {}

  @Get()
  @Allow(Permission.BindingsRead)
  @ApiOkResponse({ type: BindingPage })
  async list(@Me() me: TenantPrincipal, @Query() query: BindingListQuery): Promise<BindingPage> {
    return viewPage(await this.bindings.list(me, query), viewBinding);
  }

  @Post()
  @Allow(Permission.BindingsWrite)
  @ApiCreatedResponse({ type: BindingView })
  async create(@Me() me: TenantPrincipal, @Body() body: CreateBindingRequest): Promise<BindingView> {
    return viewBinding(await this.bindings.create(me, bindingOf(body)));
  }

  @Delete(':id')
  @HttpCode(204)
  @Allow(Permission.BindingsWrite)
  @ApiNoContentResponse()
  async remove(@Me() me: TenantPrincipal, @IdParam() id: string): Promise<void> {
    await this.bindings.remove(me, id);
  }
}
