import { Body, Controller, Get, HttpCode, Post } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Allow, Me } from '../access/decorators.js';
import { Permission } from '../access/permission.js';
import type { TenantPrincipal } from '../access/principal.js';
import { actorOf } from '../audit/audit-event.js';
import { IdParam } from '../platform/http/uuid-param.js';
import {
  AuthorityAnswer, AuthorityCertificateRequest, AuthorityKeyRequest, AuthorityList, AuthorityRequestAnswer, RollOverAnswer, showAuthority, showRequest,
  showRollOver,
} from './authorities.dto.js';
import { AuthoritySuccessionService } from './authority-succession.service.js';

@ApiTags('certificates')
@Controller('authorities')
export class AuthoritiesController {
  constructor(private readonly succession: AuthoritySuccessionService) {}

  @Get()
  @Allow(Permission.CertificatesRead)
  @ApiOkResponse({ type: AuthorityList })
  async list(@Me() me: TenantPrincipal): Promise<AuthorityList> {
    return { items: (await this.succession.list(me.tenantId)).map(showAuthority) };
  }

  /** A root of the installation whose key stays offline. */
  @Post('root')
  @Allow(Permission.PlatformAuthoritiesWrite)
  @ApiCreatedResponse({ type: AuthorityAnswer })
  async importRoot(@Me() me: TenantPrincipal, @Body() { certificate }: AuthorityCertificateRequest): Promise<AuthorityAnswer> {
    return showAuthority({ authority: await this.succession.importRoot(certificate, actorOf(me)), remaining: null });
  }

  /** A key for the tenant's issuing authority, and a request to be signed where the root's key is. */
  @Post('requests')
  @Allow(Permission.AuthoritiesManage)
  @ApiCreatedResponse({ type: AuthorityRequestAnswer })
  async request(@Me() me: TenantPrincipal, @Body() body: AuthorityKeyRequest): Promise<AuthorityRequestAnswer> {
    return showRequest(await this.succession.request(me.tenantId, { ...body, actor: actorOf(me) }));
  }

  /** The certificate that was signed for a request: it issues from now on. */
  @Post()
  @Allow(Permission.AuthoritiesManage)
  @ApiCreatedResponse({ type: RollOverAnswer })
  async importIssuing(@Me() me: TenantPrincipal, @Body() { certificate }: AuthorityCertificateRequest): Promise<RollOverAnswer> {
    return showRollOver(await this.succession.importIssuing(me.tenantId, certificate, actorOf(me)));
  }

  /** A new issuing authority below the root here; the one before stays trusted for what it issued. */
  @Post('roll-over')
  @Allow(Permission.AuthoritiesManage)
  @ApiCreatedResponse({ type: RollOverAnswer })
  async rollOver(@Me() me: TenantPrincipal, @Body() body: AuthorityKeyRequest): Promise<RollOverAnswer> {
    return showRollOver(await this.succession.rollOver(me.tenantId, { ...body, actor: actorOf(me) }));
  }

  /** The end of a retired authority on which nothing good rests; it comes by itself within the hour. */
  @Post(':id/end')
  @HttpCode(200)
  @Allow(Permission.AuthoritiesManage)
  @ApiOkResponse({ type: AuthorityAnswer })
  async end(@Me() me: TenantPrincipal, @IdParam() id: string): Promise<AuthorityAnswer> {
    return showAuthority({ authority: await this.succession.end(me.tenantId, id, actorOf(me)), remaining: 0 });
  }
}
