import { Controller, Get, Param, Query } from '@nestjs/common';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Allow, Me } from '../access/decorators.js';
import { Permission } from '../access/permission.js';
import type { TenantPrincipal } from '../access/principal.js';
import { Clock } from '../platform/clock/clock.js';
import { PageQuery } from '../platform/http/paging.js';
import { IdParam } from '../platform/http/uuid-param.js';
import { CertificatesService } from './certificates.service.js';
import { CertificateAnswer, CertificatePage, showCertificate, showCertificates } from './pki.dto.js';

@ApiTags('certificates')
@Controller()
export class CertificatesController {
  constructor(
    private readonly certificates: CertificatesService,
    private readonly clock: Clock,
  ) {}

  @Get('devices/:id/certificates')
  @Allow(Permission.CertificatesRead, { on: 'device' })
  @ApiOkResponse({ type: CertificatePage })
  async list(@Me() me: TenantPrincipal, @IdParam() id: string, @Query() query: PageQuery): Promise<CertificatePage> {
    return showCertificates(await this.certificates.page(me, { kind: 'device', id }, query), this.clock.now());
  }

  @Get('service-accounts/:id/certificates')
  @Allow(Permission.CertificatesRead)
  @ApiOkResponse({ type: CertificatePage })
  async listOfService(@Me() me: TenantPrincipal, @IdParam() id: string, @Query() query: PageQuery): Promise<CertificatePage> {
    return showCertificates(await this.certificates.page(me, { kind: 'service', id }, query), this.clock.now());
  }

  @Get('certs/:serial')
  @Allow(Permission.CertificatesRead)
  @ApiOkResponse({ type: CertificateAnswer })
  async show(@Me() me: TenantPrincipal, @Param('serial') serial: string): Promise<CertificateAnswer> {
    return showCertificate(await this.certificates.show(me, serial), this.clock.now());
  }
}
