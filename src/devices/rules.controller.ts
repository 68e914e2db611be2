import { Body, Controller, Delete, Get, HttpCode, Post, Query } from '@nestjs/common';
import { ApiCreatedResponse, ApiNoContentResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Allow, Me } from '../access/decorators.js';
import { Permission } from '../access/permission.js';
import type { TenantPrincipal } from '../access/principal.js';
import { PageQuery } from '../platform/http/paging.js';
import { IdParam } from '../platform/http/uuid-param.js';
import { CreateRuleRequest, RulePage, RuleView, viewPage, viewRule } from './devices.dto.js';
import { RulesService } from './rules.service.js';

@ApiTags('devices')
@Controller('devices/:id/rules')
export class DeviceRulesController {
  constructor(private readonly rules: RulesService) {}

  @Get()
  @Allow(Permission.RulesRead, { on: 'device' })
  @ApiOkResponse({ type: RulePage })
  async list(@Me() me: TenantPrincipal, @IdParam() id: string, @Query() query: PageQuery): Promise<RulePage> {
    return viewPage(await this.rules.list(me, { kind: 'device', id }, query), viewRule);
  }

  @Post()
  @Allow(Permission.RulesCreate, { on: 'device' })
  @ApiCreatedResponse({ type: RuleView })
  async add(@Me() me: TenantPrincipal, @IdParam() id: string, @Body() body: CreateRuleRequest): Promise<RuleView> {
    return viewRule(await this.rules.add(me, { kind: 'device', id }, body));
  }

  @Delete(':ruleId')
  @HttpCode(204)
  @Allow(Permission.RulesDelete, { on: 'device' })
  @ApiNoContentResponse()
  async remove(@Me() me: TenantPrincipal, @IdParam() id: string, @IdParam('ruleId') ruleId: string): Promise<void> {
    await this.rules.remove(me, { kind: 'device', id }, ruleId);
  }
}

@ApiTags('groups')
@Controller('groups/:id/rules')
export class GroupRulesController {
  constructor(private readonly rules: RulesService) {}

  @Get()
  @Allow(Permission.RulesRead, { on: 'group' })
  @ApiOkResponse({ type: RulePage })
  async list(@Me() me: TenantPrincipal, @IdParam() id: string, @Query() query: PageQuery): Promise<RulePage> {
    return viewPage(await this.rules.list(me, { kind: 'group', id }, query), viewRule);
  }

  @Post()
  @Allow(Permission.RulesCreate, { on: 'group' })
  @ApiCreatedResponse({ type: RuleView })
  async add(@Me() me: TenantPrincipal, @IdParam() id: string, @Body() body: CreateRuleRequest): Promise<RuleView> {
    return viewRule(await this.rules.add(me, { kind: 'group', id }, body));
  }

  @Delete(':ruleId')
  @HttpCode(204)
  @Allow(Permission.RulesDelete, { on: 'group' })
  @ApiNoContentResponse()
  async remove(@Me() me: TenantPrincipal, @IdParam() id: string, @IdParam('ruleId') ruleId: string): Promise<void> {
    await this.rules.remove(me, { kind: 'group', id }, ruleId);
  }
}

@ApiTags('service-accounts')
@Controller('service-accounts/:id/rules')
export class ServiceAccountRulesController {
  constructor(private readonly rules: RulesService) {}

  @Get()
  @Allow(Permission.ServiceAccountsRead)
  @ApiOkResponse({ type: RulePage })
  async list(@Me() me: TenantPrincipal, @IdParam() id: string, @Query() query: PageQuery): Promise<RulePage> {
    return viewPage(await this.rules.list(me, { kind: 'service', id }, query), viewRule);
  }

  @Post()
  @Allow(Permission.ServiceAccountsUpdate)
  @ApiCreatedResponse({ type: RuleView })
  async add(@Me() me: TenantPrincipal, @IdParam() id: string, @Body() body: CreateRuleRequest): Promise<RuleView> {
    return viewRule(await this.rules.add(me, { kind: 'service', id }, body));
  }

  @Delete(':ruleId')
  @HttpCode(204)
  @Allow(Permission.ServiceAccountsUpdate)
  @ApiNoContentResponse()
  async remove(@Me() me: TenantPrincipal, @IdParam() id: string, @IdParam('ruleId') ruleId: string): Promise<void> {
    await this.rules.remove(me, { kind: 'service', id }, ruleId);
  }
}
