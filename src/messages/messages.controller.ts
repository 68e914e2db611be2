import { Body, Controller, HttpCode, Post } from '@nestjs/common';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Allow, Me } from '../access/decorators.js';
import { Permission } from '../access/permission.js';
import type { TenantPrincipal } from '../access/principal.js';
import { showVerification, VerifyMessageAnswer, VerifyMessageRequest } from './messages.dto.js';
import { VerificationService } from './verification.service.js';

@ApiTags('messages')
@Controller('messages')
export class MessagesController {
  constructor(private readonly verification: VerificationService) {}

  /** Verifies one message and spends its nonce at this door. */
  @Post('verify')
  @HttpCode(200)
  @Allow(Permission.MessagesVerify)
  @ApiOkResponse({ type: VerifyMessageAnswer })
  async verify(@Me() me: TenantPrincipal, @Body() { topic, message }: VerifyMessageRequest): Promise<VerifyMessageAnswer> {
    const payload = Buffer.from(typeof message === 'string' ? message : JSON.stringify(message), 'utf8');
    return showVerification(await this.verification.verify(me.tenantId, { topic, payload }));
  }
}
