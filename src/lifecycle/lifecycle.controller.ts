import { Body, Controller, Delete, HttpCode, Post, Query } from '@nestjs/common';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Allow, Me } from '../access/decorators.js';
import { Permission } from '../access/permission.js';
import type { TenantPrincipal } from '../access/principal.js';
import { IdParam } from '../platform/http/uuid-param.js';
import { LifecycleAnswer, ReasonQuery, ReasonRequest, RevokedCredentials, RotatedClientSecret, RotatedHmacSecret } from './lifecycle.dto.js';
import { LifecycleService } from './lifecycle.service.js';
import { showLifecycle } from './lifecycle.view.js';
import { TrustService } from './trust.service.js';

@ApiTags('devices')
@Controller('devices')
export class LifecycleController {
  constructor(
    private readonly lifecycle: LifecycleService,
    private readonly trust: TrustService,
  ) {}

  @Post(':id/activate')
  @HttpCode(200)
  @Allow(Permission.DevicesLifecycle, { on: 'device' })
  @ApiOkResponse({ type: LifecycleAnswer })
  async activate(@Me() me: TenantPrincipal, @IdParam() id: string, @Body() { reason }: ReasonRequest): Promise<LifecycleAnswer> {
    return showLifecycle(await this.lifecycle.activate(me, id, reason));
  }

  @Post(':id/suspend')
  @HttpCode(200)
  @Allow(Permission.DevicesLifecycle, { on: 'device' })
  @ApiOkResponse({ type: LifecycleAnswer })
  async suspend(@Me() me: TenantPrincipal, @IdParam() id: string, @Body() { reason }: ReasonRequest): Promise<LifecycleAnswer> {
    return showLifecycle(await this.lifecycle.suspend(me, id, reason));
  }

  @Post(':id/quarantine')
  @HttpCode(200)
  @Allow(Permission.DevicesLifecycle, { on: 'device' })
  @ApiOkResponse({ type: LifecycleAnswer })
  async quarantine(@Me() me: TenantPrincipal, @IdParam() id: string, @Body() { reason }: ReasonRequest): Promise<LifecycleAnswer> {
    return showLifecycle(await this.lifecycle.quarantine(me, id, reason));
  }

  @Post(':id/release')
  @HttpCode(200)
  @Allow(Permission.DevicesLifecycle, { on: 'device' })
  @ApiOkResponse({ type: LifecycleAnswer })
  async release(@Me() me: TenantPrincipal, @IdParam() id: string, @Body() { reason }: ReasonRequest): Promise<LifecycleAnswer> {
    return showLifecycle(await this.lifecycle.release(me, id, reason));
  }

  @Post(':id/eject')
  @HttpCode(200)
  @Allow(Permission.DevicesLifecycle, { on: 'device' })
  @ApiOkResponse({ type: LifecycleAnswer, description: 'Cuts the live sessions; the device may come straight back.' })
  async eject(@Me() me: TenantPrincipal, @IdParam() id: string, @Body() { reason }: ReasonRequest): Promise<LifecycleAnswer> {
    return showLifecycle(await this.lifecycle.eject(me, id, reason));
  }

  @Post(':id/decommission')
  @HttpCode(200)
  @Allow(Permission.DevicesDelete, { on: 'device' })
  @ApiOkResponse({ type: LifecycleAnswer })
  async decommission(@Me() me: TenantPrincipal, @IdParam() id: string, @Body() { reason }: ReasonRequest): Promise<LifecycleAnswer> {
    return showLifecycle(await this.lifecycle.decommission(me, id, reason));
  }

  @Delete(':id')
  @HttpCode(200)
  @Allow(Permission.DevicesDelete, { on: 'device' })
  @ApiOkResponse({ type: LifecycleAnswer, description: 'The same as /decommission.' })
  async remove(@Me() me: TenantPrincipal, @IdParam() id: string, @Query() { reason }: ReasonQuery): Promise<LifecycleAnswer> {
    return showLifecycle(await this.lifecycle.decommission(me, id, reason ?? 'deleted'));
  }

  @Post(':id/rotate-client-secret')
  @HttpCode(200)
  @Allow(Permission.DeviceSecretRotate, { on: 'device' })
  @ApiOkResponse({ type: RotatedClientSecret })
  async rotateClientSecret(@Me() me: TenantPrincipal, @IdParam() id: string): Promise<RotatedClientSecret> {
    const { secret, previousValidUntil } = await this.trust.rotateClientSecret(me, id);
    return { client_secret: secret, previousValidUntil: previousValidUntil?.toISOString() ?? null };
  }

  @Post(':id/rotate-secret')
  @HttpCode(200)
  @Allow(Permission.DeviceSecretRotate, { on: 'device' })
  @ApiOkResponse({ type: RotatedHmacSecret })
  async rotateHmacSecret(@Me() me: TenantPrincipal, @IdParam() id: string): Promise<RotatedHmacSecret> {
    const { secret, previousValidUntil } = await this.trust.rotateHmacSecret(me, id);
    return { hmac_secret: secret, previousValidUntil: previousValidUntil?.toISOString() ?? null };
  }

  @Delete(':id/credentials/:credentialId')
  @HttpCode(200)
  @Allow(Permission.CredentialsRevoke, { on: 'device' })
  @ApiOkResponse({ type: RevokedCredentials })
  revokeCredential(
    @Me() me: TenantPrincipal,
    @IdParam() id: string,
    @IdParam('credentialId') credentialId: string,
    @Query() { reason }: ReasonQuery,
  ): Promise<RevokedCredentials> {
    return this.trust.revokeCredential(me, id, credentialId, reason ?? 'revoked');
  }
}
