import { Body, Controller, Get, Header, Post, Query } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Allow, Me, Public } from '../access/decorators.js';
import { Permission } from '../access/permission.js';
import type { TenantPrincipal } from '../access/principal.js';
import { PageQuery } from '../platform/http/paging.js';
import { IdParam } from '../platform/http/uuid-param.js';
import {
  CredentialPage, DeviceTokenRequest, JsonWebKeySet, showPage, showToken, TokenAnswer, TokenRequest,
} from './credentials.dto.js';
import { CredentialsService } from './credentials.service.js';
import { JWKS_MAX_AGE_SECONDS, SigningKeysService } from './signing-keys.service.js';

@ApiTags('devices')
@Controller('devices/:id')
export class DeviceCredentialsController {
  constructor(private readonly credentials: CredentialsService) {}

  @Get('credentials')
  @Allow(Permission.CredentialsRead, { on: 'device' })
  @ApiOkResponse({ type: CredentialPage })
  async list(@Me() me: TenantPrincipal, @IdParam() id: string, @Query() query: PageQuery): Promise<CredentialPage> {
    return showPage(await this.credentials.page(me, id, query));
  }

  @Post('token')
  @Allow(Permission.DeviceTokenRotate, { on: 'device', device: true })
  @ApiCreatedResponse({ type: TokenAnswer })
  async token(@Me() me: TenantPrincipal, @IdParam() id: string, @Body() body?: TokenRequest): Promise<TokenAnswer> {
    return showToken(await this.credentials.requestToken(me, id, body?.ttl));
  }
}

@ApiTags('auth')
@Controller('auth/devices')
export class DeviceTokensController {
  constructor(private readonly credentials: CredentialsService) {}

  @Post('token')
  @Allow(Permission.DeviceTokenRotate)
  @ApiCreatedResponse({ type: TokenAnswer })
  async issue(@Me() me: TenantPrincipal, @Body() body: DeviceTokenRequest): Promise<TokenAnswer> {
    return showToken(await this.credentials.requestToken(me, body.deviceId, body.ttl));
  }
}

@ApiTags('well-known')
@Controller('.well-known')
export class KeySetController {
  constructor(private readonly signingKeys: SigningKeysService) {}

  /** Public keys of device tokens (RFC 7517). */
  @Get('jwks.json')
  @Public()
  @Header('cache-control', `public, max-age=${JWKS_MAX_AGE_SECONDS}`)
  @ApiOkResponse({ type: JsonWebKeySet })
  async jwks(): Promise<JsonWebKeySet> {
    return this.signingKeys.jwks();
  }
}
