import { Body, Controller, HttpCode, Post, Req } from '@nestjs/common';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { Interactive, Me, Public } from '../access/decorators.js';
import type { Principal } from '../access/principal.js';
import { PasswordChangedResponse } from './auth.dto.js';
import { EmailChangeService } from './email-change.service.js';
import {
  ChangeEmailRequest, ConfirmEmailRequest, EmailConfirmedResponse, ForgotPasswordRequest, MailAnswer, ResetPasswordRequest,
} from './mailed.dto.js';
import { RecoveryService } from './recovery.service.js';

@ApiTags('auth')
@Controller('auth')
export class RecoveryController {
  constructor(
    private readonly recovery: RecoveryService,
    private readonly emails: EmailChangeService,
  ) {}

  @Post('password/forgot')
  @HttpCode(200)
  @Public()
  @ApiOkResponse({ type: MailAnswer })
  async forgot(@Body() { email }: ForgotPasswordRequest, @Req() request: FastifyRequest): Promise<MailAnswer> {
    await this.recovery.ask(email, request.ip);
    return { accepted: true };
  }

  @Post('password/reset')
  @HttpCode(200)
  @Public()
  @ApiOkResponse({ type: PasswordChangedResponse })
  async reset(@Body() { token, newPassword, revokeTokens = false }: ResetPasswordRequest, @Req() request: FastifyRequest): Promise<PasswordChangedResponse> {
    return this.recovery.reset(token, { newPassword, revokeTokens }, request.ip);
  }

  @Post('email/change')
  @HttpCode(200)
  @Interactive()
  @ApiOkResponse({ type: MailAnswer, description: 'Both addresses must agree within an hour.' })
  async changeEmail(@Me() me: Principal, @Body() { newEmail, password }: ChangeEmailRequest): Promise<MailAnswer> {
    await this.emails.ask(me, newEmail, password);
    return { accepted: true };
  }

  @Post('email/confirm')
  @HttpCode(200)
  @Public()
  @ApiOkResponse({ type: EmailConfirmedResponse })
  async confirmEmail(@Body() { token }: ConfirmEmailRequest, @Req() request: FastifyRequest): Promise<EmailConfirmedResponse> {
    return this.emails.confirm(token, request.ip);
  }
}
