import { Controller, Get, Header, HttpCode, Param, Post, Req, StreamableFile } from '@nestjs/common';
import { ApiBody, ApiConsumes, ApiExcludeEndpoint, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { Public } from '../access/decorators.js';
import { IdParam } from '../platform/http/uuid-param.js';
import { PublicationsService } from './publications.service.js';

const PEM = 'application/x-pem-file';
const CRL = 'application/pkix-crl';
const OCSP = 'application/ocsp-response';
/** Short: a revocation should not wait behind a proxy for longer than behind a broker's own cache. */
const BRIEFLY = 'public, max-age=60';

function answered(type: string, description: string): object {
  return { description, content: { [type]: { schema: { type: 'string', ...(type === PEM ? {} : { format: 'binary' }) } } } };
}

/** What relying parties fetch (RFC 5280 §4.2.1.13, §4.2.2.1; RFC 6960 appendix A). Public: all of it is signed. */
@ApiTags('pki')
@Controller('pki')
export class PublicationsController {
  constructor(private readonly publications: PublicationsService) {}

  @Get('ca.pem')
  @Public()
  @Header('content-type', PEM)
  @Header('cache-control', BRIEFLY)
  @ApiOkResponse(answered(PEM, 'The root certificate.'))
  async root(): Promise<StreamableFile> {
    return file(await this.publications.root());
  }

  @Get('chain.pem')
  @Public()
  @Header('content-type', PEM)
  @Header('cache-control', BRIEFLY)
  @ApiOkResponse(answered(PEM, 'The issuing authority of `default`, then upwards.'))
  async chain(): Promise<StreamableFile> {
    return file(await this.publications.chain(await this.publications.defaultAuthority()));
  }

  @Get('crl.pem')
  @Public()
  @Header('content-type', PEM)
  @Header('cache-control', BRIEFLY)
  @ApiOkResponse(answered(PEM, 'Revoked certificates of the issuing authority of `default`, PEM.'))
  async crlPem(): Promise<StreamableFile> {
    return file((await this.publications.crl(await this.publications.defaultAuthority())).pem);
  }

  @Get('crl.der')
  @Public()
  @Header('content-type', CRL)
  @Header('cache-control', BRIEFLY)
  @ApiOkResponse(answered(CRL, 'The same in DER.'))
  async crlDer(): Promise<StreamableFile> {
    return file((await this.publications.crl(await this.publications.defaultAuthority())).der);
  }

  @Post('ocsp')
  @HttpCode(200)
  @Public()
  @Header('content-type', OCSP)
  @ApiConsumes('application/ocsp-request')
  @ApiBody({ schema: { type: 'string', format: 'binary' } })
  @ApiOkResponse(answered(OCSP, 'OCSP response (DER).'))
  async ocsp(@Req() request: FastifyRequest): Promise<StreamableFile> {
    return file(await this.publications.ocsp(await this.publications.defaultAuthority(), request.body));
  }

  @Get('ocsp/*')
  @Public()
  @Header('content-type', OCSP)
  @Header('cache-control', BRIEFLY)
  @ApiExcludeEndpoint()
  async ocspByUrl(@Param('*') question: string): Promise<StreamableFile> {
    return file(await this.publications.ocsp(await this.publications.defaultAuthority(), Buffer.from(question, 'base64')));
  }

  @Get(':id/ca.pem')
  @Public()
  @Header('content-type', PEM)
  @Header('cache-control', BRIEFLY)
  @ApiOkResponse(answered(PEM, 'Certificate of the authority.'))
  async ownCertificate(@IdParam() id: string): Promise<StreamableFile> {
    return file(await this.publications.certificate(id));
  }

  @Get(':id/chain.pem')
  @Public()
  @Header('content-type', PEM)
  @Header('cache-control', BRIEFLY)
  @ApiOkResponse(answered(PEM, 'The authority, then upwards.'))
  async ownChain(@IdParam() id: string): Promise<StreamableFile> {
    return file(await this.publications.chain(id));
  }

  @Get(':id/crl.pem')
  @Public()
  @Header('content-type', PEM)
  @Header('cache-control', BRIEFLY)
  @ApiOkResponse(answered(PEM, 'Its revoked certificates, PEM.'))
  async ownCrlPem(@IdParam() id: string): Promise<StreamableFile> {
    return file((await this.publications.crl(id)).pem);
  }

  @Get(':id/crl.der')
  @Public()
  @Header('content-type', CRL)
  @Header('cache-control', BRIEFLY)
  @ApiOkResponse(answered(CRL, 'The same in DER.'))
  async ownCrlDer(@IdParam() id: string): Promise<StreamableFile> {
    return file((await this.publications.crl(id)).der);
  }

  @Post(':id/ocsp')
  @HttpCode(200)
  @Public()
  @Header('content-type', OCSP)
  @ApiConsumes('application/ocsp-request')
  @ApiBody({ schema: { type: 'string', format: 'binary' } })
  @ApiOkResponse(answered(OCSP, 'OCSP response (DER).'))
  async ownOcsp(@IdParam() id: string, @Req() request: FastifyRequest): Promise<StreamableFile> {
    return file(await this.publications.ocsp(id, request.body));
  }

  @Get(':id/ocsp/*')
  @Public()
  @Header('content-type', OCSP)
  @Header('cache-control', BRIEFLY)
  @ApiExcludeEndpoint()
  async ownOcspByUrl(@IdParam() id: string, @Param('*') question: string): Promise<StreamableFile> {
    return file(await this.publications.ocsp(id, Buffer.from(question, 'base64')));
  }
}

function file(contents: string | Buffer): StreamableFile {
  return new StreamableFile(typeof contents === 'string' ? Buffer.from(contents) : contents);
}
