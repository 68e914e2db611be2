import { Body, Controller, HttpCode, Param, Post, Query } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Allow, Me } from '../access/decorators.js';
import { Permission } from '../access/permission.js';
import type { TenantPrincipal } from '../access/principal.js';
import { IdParam } from '../platform/http/uuid-param.js';
import { CertificateRequest, RevocationAnswer, RevokeQuery, RevokeRequest, showRevocation } from './certification.dto.js';
import { IssuedCertificateAnswer, showIssued } from './issued-certificate.dto.js';
import { IssuingService } from './issuing.service.js';
import type { RevocationScope } from './revocation.js';
import { RevocationService } from './revocation.service.js';

@ApiTags('certificates')
@Controller()
export class CertificationController {
  constructor(
    private readonly revocation: RevocationService,
    private readonly issuing: IssuingService,
  ) {}

  @Post('devices/:id/certificates')
  @Allow(Permission.CertificatesIssue, { on: 'device', device: true })
  @ApiCreatedResponse({ type: IssuedCertificateAnswer })
  async issue(@Me() me: TenantPrincipal, @IdParam() id: string, @Body() body: CertificateRequest): Promise<IssuedCertificateAnswer> {
    return showIssued(await this.issuing.issue(me, id, body));
  }

  @Post('service-accounts/:id/certificates')
  @Allow(Permission.CertificatesIssue)
  @ApiCreatedResponse({ type: IssuedCertificateAnswer })
  async issueService(@Me() me: TenantPrincipal, @IdParam() id: string, @Body() body: CertificateRequest): Promise<IssuedCertificateAnswer> {
    return showIssued(await this.issuing.issueService(me, id, body));
  }

  @Post('certs/:serial/revoke')
  @HttpCode(200)
  @Allow(Permission.CertificatesRevoke)
  @ApiOkResponse({ type: RevocationAnswer })
  async revoke(
    @Me() me: TenantPrincipal,
    @Param('serial') serial: string,
    @Body() { reason }: RevokeRequest,
    @Query() query: RevokeQuery,
  ): Promise<RevocationAnswer> {
    return showRevocation(await this.revocation.revokeSerial(me, serial, reason, scopeOf(query)));
  }

  @Post('devices/:id/certificates/revoke')
  @HttpCode(200)
  @Allow(Permission.CertificatesRevoke, { on: 'device' })
  @ApiOkResponse({ type: RevocationAnswer })
  async revokeAll(
    @Me() me: TenantPrincipal,
    @IdParam() id: string,
    @Body() { reason }: RevokeRequest,
    @Query() query: RevokeQuery,
  ): Promise<RevocationAnswer> {
    return showRevocation(await this.revocation.revokeDevice(me, id, reason, scopeOf(query)));
  }
}

function scopeOf({ lineage, since, dryRun }: RevokeQuery): RevocationScope {
  return { lineage: lineage === 'true', since: since === undefined ? null : new Date(since), dryRun: dryRun === 'true' };
}
