import { Body, Controller, Delete, Get, HttpCode, Post, Query, Req } from '@nestjs/common';
import { ApiCreatedResponse, ApiNoContentResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { Allow, Me, Public } from '../access/decorators.js';
import { Permission } from '../access/permission.js';
import type { TenantPrincipal } from '../access/principal.js';
import { PageQuery } from '../platform/http/paging.js';
import { IdParam } from '../platform/http/uuid-param.js';
import { InvitationsService } from './invitations.service.js';
import {
  AcceptedResponse, AcceptInvitationRequest, InvitationListResponse, InvitationResponse, InviteRequest, showInvitation, showInvitations,
} from './mailed.dto.js';

@ApiTags('invitations')
@Controller('invitations')
export class InvitationsController {
  constructor(private readonly invitations: InvitationsService) {}

  @Get()
  @Allow(Permission.UsersRead)
  @ApiOkResponse({ type: InvitationListResponse, description: 'Pending ones.' })
  async list(@Me() me: TenantPrincipal, @Query() query: PageQuery): Promise<InvitationListResponse> {
    return showInvitations(await this.invitations.list(me, query));
  }

  @Post()
  @Allow(Permission.UsersCreate)
  @ApiCreatedResponse({ type: InvitationResponse })
  async invite(@Me() me: TenantPrincipal, @Body() { email, role }: InviteRequest): Promise<InvitationResponse> {
    return showInvitation(await this.invitations.invite(me, email, role ?? 'VIEWER'));
  }

  @Delete(':id')
  @HttpCode(204)
  @Allow(Permission.UsersCreate)
  @ApiNoContentResponse()
  async revoke(@Me() me: TenantPrincipal, @IdParam() id: string): Promise<void> {
    await this.invitations.revoke(me, id);
  }

  @Post('accept')
  @HttpCode(200)
  @Public()
  @ApiOkResponse({ type: AcceptedResponse })
  async accept(@Body() body: AcceptInvitationRequest, @Req() request: FastifyRequest): Promise<AcceptedResponse> {
    const { userId, ...accepted } = await this.invitations.accept(body, request.ip);
    return { id: userId, ...accepted };
  }
}
