import { Body, Controller, HttpCode, Post } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Allow, Me } from '../access/decorators.js';
import { Permission } from '../access/permission.js';
import type { TenantPrincipal } from '../access/principal.js';
import { IdParam } from '../platform/http/uuid-param.js';
import { subjectOf } from './ejector.js';
import { CreateServiceAccountRequest, ReasonRequest, ServiceAccountDisabled, ServiceAccountSecret } from './lifecycle.dto.js';
import { TrustService } from './trust.service.js';

@ApiTags('service accounts')
@Controller('service-accounts')
export class ServiceAccountsLifecycleController {
  constructor(private readonly trust: TrustService) {}

  @Post()
  @Allow(Permission.ServiceAccountsCreate)
  @ApiCreatedResponse({ type: ServiceAccountSecret })
  async create(@Me() me: TenantPrincipal, @Body() { name }: CreateServiceAccountRequest): Promise<ServiceAccountSecret> {
    const { account, secret } = await this.trust.createServiceAccount(me, name);
    return show(account, secret, null);
  }

  @Post(':id/rotate')
  @HttpCode(200)
  @Allow(Permission.ServiceAccountsRotate)
  @ApiOkResponse({ type: ServiceAccountSecret })
  async rotate(@Me() me: TenantPrincipal, @IdParam() id: string): Promise<ServiceAccountSecret> {
    const { account, secret, previousValidUntil } = await this.trust.rotateServiceSecret(me, id);
    return show(account, secret, previousValidUntil);
  }

  @Post(':id/disable')
  @HttpCode(200)
  @Allow(Permission.ServiceAccountsDisable)
  @ApiOkResponse({ type: ServiceAccountDisabled })
  async disable(@Me() me: TenantPrincipal, @IdParam() id: string, @Body() { reason }: ReasonRequest): Promise<ServiceAccountDisabled> {
    const { account, ejection } = await this.trust.disableServiceAccount(me, id, reason);
    return { id: account.id, status: account.status, ejection };
  }
}

function show(
  account: { readonly id: string; readonly name: string; readonly status: string },
  secret: string,
  previousValidUntil: Date | null,
): ServiceAccountSecret {
  return {
    id: account.id,
    name: account.name,
    username: subjectOf({ kind: 'service', id: account.id }),
    status: account.status,
    client_secret: secret,
    previousValidUntil: previousValidUntil?.toISOString() ?? null,
  };
}
