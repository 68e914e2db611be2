import { Body, Controller, HttpCode, Post } from '@nestjs/common';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Allow, Me } from '../access/decorators.js';
import { Permission } from '../access/permission.js';
import type { TenantPrincipal } from '../access/principal.js';
import { IdParam } from '../platform/http/uuid-param.js';
import { CompromisedRequest, IncidentAnswer, showIncident } from './incidents.dto.js';
import { IncidentsService } from './incidents.service.js';

@ApiTags('devices')
@Controller('devices')
export class IncidentsController {
  constructor(private readonly incidents: IncidentsService) {}

  @Post(':id/compromised')
  @HttpCode(200)
  @Allow(Permission.DevicesLifecycle, { on: 'device' })
  @ApiOkResponse({ type: IncidentAnswer, description: 'Confined, credentials revoked, out of its groups, ejected: in one call.' })
  async compromised(
    @Me() me: TenantPrincipal,
    @IdParam() id: string,
    @Body() { reason, confinement }: CompromisedRequest,
  ): Promise<IncidentAnswer> {
    return showIncident(await this.incidents.compromised(me, id, confinement ?? 'quarantine', reason));
  }
}
