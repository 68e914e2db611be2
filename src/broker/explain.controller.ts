import { Body, Controller, HttpCode, Post } from '@nestjs/common';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Allow, Me } from '../access/decorators.js';
import { Permission } from '../access/permission.js';
import type { TenantPrincipal } from '../access/principal.js';
import { IdParam } from '../platform/http/uuid-param.js';
import { ExplainAnswer, ExplainRequest } from './explain.dto.js';
import { ExplainService } from './explain.service.js';

@ApiTags('devices')
@Controller('devices')
export class ExplainController {
  constructor(private readonly explainer: ExplainService) {}

  @Post(':id/explain')
  @HttpCode(200)
  @Allow(Permission.DevicesExplain, { on: 'device' })
  @ApiOkResponse({ type: ExplainAnswer })
  explain(@Me() me: TenantPrincipal, @IdParam() id: string, @Body() body: ExplainRequest): Promise<ExplainAnswer> {
    return this.explainer.explain(me, id, body);
  }
}
