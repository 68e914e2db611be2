import { Readable } from 'node:stream';
import { Body, Controller, Header, HttpCode, Post, Req, StreamableFile } from '@nestjs/common';
import { ApiBody, ApiConsumes, ApiCreatedResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { Allow, Me } from '../access/decorators.js';
import { Permission } from '../access/permission.js';
import type { TenantPrincipal } from '../access/principal.js';
import { platformError } from '../platform/problem/platform.errors.js';
import { BulkRegistration } from './bulk.js';
import { RegisterDeviceRequest, RegisteredDevice } from './lifecycle.dto.js';
import { showRegistered } from './lifecycle.view.js';
import { RegistrationService } from './registration.service.js';

@ApiTags('devices')
@Controller('devices')
export class RegistrationController {
  constructor(
    private readonly registration: RegistrationService,
    private readonly bulk: BulkRegistration,
  ) {}

  @Post()
  @Allow(Permission.DevicesCreate, { adminKey: true })
  @ApiCreatedResponse({ type: RegisteredDevice })
  async register(@Me() me: TenantPrincipal, @Body() body: RegisterDeviceRequest): Promise<RegisteredDevice> {
    const registered = await this.registration.register(me, body);
    return showRegistered(registered, this.registration.connectHints(registered));
  }

  @Post('bulk')
  @HttpCode(200)
  @Header('content-type', 'application/x-ndjson')
  @Allow(Permission.DevicesCreate)
  @ApiConsumes('application/x-ndjson')
  @ApiBody({ schema: { type: 'string', format: 'binary' }, description: 'One JSON object a line, as POST /devices takes it; 64 KiB a line, 100 000 lines.' })
  @ApiOkResponse({
    description: 'A line for each line: `{"line","status":201,"device"}` or `{"line","status","problem"}`.',
    content: { 'application/x-ndjson': { schema: { type: 'string', format: 'binary' } } },
  })
  registerMany(@Me() me: TenantPrincipal, @Req() request: FastifyRequest): StreamableFile {
    if (!(request.body instanceof Readable)) throw platformError('UNSUPPORTED_MEDIA_TYPE', { detail: 'Send application/x-ndjson.' });
    return new StreamableFile(Readable.from(this.bulk.run(me, request.body as AsyncIterable<Buffer>)), { type: 'application/x-ndjson' });
  }
}
