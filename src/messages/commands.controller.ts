import { Body, Controller, Get, HttpCode, Post, Query } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Allow, Me } from '../access/decorators.js';
import { Permission } from '../access/permission.js';
import type { TenantPrincipal } from '../access/principal.js';
import { PageQuery } from '../platform/http/paging.js';
import { IdParam } from '../platform/http/uuid-param.js';
import { CommandAnswer, CommandPage, CreateCommandRequest, showCommand, showCommands } from './commands.dto.js';
import { CommandsService } from './commands.service.js';

@ApiTags('commands')
@Controller('devices/:id/commands')
export class CommandsController {
  constructor(private readonly commands: CommandsService) {}

  @Post()
  @Allow(Permission.CommandsSend, { on: 'device' })
  @ApiCreatedResponse({ type: CommandAnswer })
  async create(@Me() me: TenantPrincipal, @IdParam() id: string, @Body() body: CreateCommandRequest): Promise<CommandAnswer> {
    return showCommand(await this.commands.create(me, id, body));
  }

  @Get()
  @Allow(Permission.CommandsRead, { on: 'device' })
  @ApiOkResponse({ type: CommandPage })
  async list(@Me() me: TenantPrincipal, @IdParam() id: string, @Query() query: PageQuery): Promise<CommandPage> {
    return showCommands(await this.commands.list(me, id, query));
  }

  @Get(':commandId')
  @Allow(Permission.CommandsRead, { on: 'device' })
  @ApiOkResponse({ type: CommandAnswer })
  async show(@Me() me: TenantPrincipal, @IdParam() id: string, @IdParam('commandId') commandId: string): Promise<CommandAnswer> {
    return showCommand(await this.commands.show(me, id, commandId));
  }

  @Post(':commandId/cancel')
  @HttpCode(200)
  @Allow(Permission.CommandsSend, { on: 'device' })
  @ApiOkResponse({ type: CommandAnswer })
  async cancel(@Me() me: TenantPrincipal, @IdParam() id: string, @IdParam('commandId') commandId: string): Promise<CommandAnswer> {
    return showCommand(await this.commands.cancel(me, id, commandId));
  }
}
