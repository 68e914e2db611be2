import { Body, Controller, Delete, Get, HttpCode, Post, Query } from '@nestjs/common';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Allow, Me } from '../access/decorators.js';
import { Permission } from '../access/permission.js';
import type { Principal } from '../access/principal.js';
import { secondsOf } from '../platform/http/duration.js';
import { IdParam } from '../platform/http/uuid-param.js';
import { DEFAULT_GRACE_SECONDS } from '../users/tenant.js';
import { ReasonRequest } from './lifecycle.dto.js';
import { DeleteTenantQuery, FreezeProgress, showTenantChange, showTenantStanding, TenantChangeAnswer, TenantStanding } from './tenants-lifecycle.dto.js';
import { TenantsLifecycleService } from './tenants-lifecycle.service.js';

@ApiTags('tenants')
@Controller('tenants')
export class TenantsLifecycleController {
  constructor(private readonly tenants: TenantsLifecycleService) {}

  @Post(':id/freeze')
  @HttpCode(200)
  @Allow(Permission.PlatformTenantsFreeze)
  @ApiOkResponse({ type: TenantChangeAnswer })
  async freeze(@Me() me: Principal, @IdParam() id: string, @Body() { reason }: ReasonRequest): Promise<TenantChangeAnswer> {
    return showTenantChange(await this.tenants.freeze(me, id, reason));
  }

  @Get(':id/freeze')
  @Allow(Permission.PlatformTenantsRead)
  @ApiOkResponse({ type: FreezeProgress, description: 'How far the cutting of live sessions has come.' })
  async progress(@IdParam() id: string): Promise<FreezeProgress> {
    const { tenant, live, sweeps } = await this.tenants.progress(id);
    return { ...showTenantStanding(tenant), unconfirmed: live, sweeps };
  }

  @Post(':id/unfreeze')
  @HttpCode(200)
  @Allow(Permission.PlatformTenantsFreeze)
  @ApiOkResponse({ type: TenantChangeAnswer })
  async unfreeze(@Me() me: Principal, @IdParam() id: string, @Body() { reason }: ReasonRequest): Promise<TenantChangeAnswer> {
    return showTenantChange(await this.tenants.unfreeze(me, id, reason));
  }

  @Delete(':id')
  @HttpCode(200)
  @Allow(Permission.PlatformTenantsWrite)
  @ApiOkResponse({ type: TenantChangeAnswer, description: 'Frozen at once, deleted after the grace; its security log stays.' })
  async delete(@Me() me: Principal, @IdParam() id: string, @Query() { reason, grace }: DeleteTenantQuery): Promise<TenantChangeAnswer> {
    const seconds = grace === undefined ? DEFAULT_GRACE_SECONDS : secondsOf(grace);
    return showTenantChange(await this.tenants.delete(me, id, reason ?? 'deleted', seconds));
  }

  @Post(':id/restore')
  @HttpCode(200)
  @Allow(Permission.PlatformTenantsWrite)
  @ApiOkResponse({ type: TenantStanding, description: 'Takes a deletion back; the tenant stays frozen.' })
  async restore(@Me() me: Principal, @IdParam() id: string): Promise<TenantStanding> {
    return showTenantStanding(await this.tenants.restore(me, id));
  }
}
