import { Body, Controller, Get, HttpCode, Post, Req, Res } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Allow, Interactive, Me, Public } from '../access/decorators.js';
import { Permission } from '../access/permission.js';
import type { Principal, TenantPrincipal } from '../access/principal.js';
import { UsersService } from '../users/users.service.js';
import { AuthHttpService } from './auth-http.service.js';
import {
  LoginRequest,
  MeResponse,
  PasswordChangeRequest,
  RefreshRequest,
  RegisterRequest,
  RegisterResponse,
  PasswordChangedResponse,
  SessionsEndedResponse,
  TokenResponse,
} from './auth.dto.js';
import { OpenRegistration, Registrar } from './open-registration.js';
import { ProfileService, type Profile } from './profile.service.js';
import { RegistrationService } from './registration.service.js';
import { SessionsService } from './sessions.service.js';

@ApiTags('auth')
@Controller('auth')
export class AuthController {
  constructor(
    private readonly http: AuthHttpService,
    private readonly profiles: ProfileService,
    private readonly sessions: SessionsService,
    private readonly users: UsersService,
    private readonly registration: RegistrationService,
  ) {}

  @Post('register')
  @Allow(Permission.UsersCreate, { interactive: true })
  @OpenRegistration()
  @ApiCreatedResponse({ type: RegisterResponse })
  async register(
    @Registrar() admin: TenantPrincipal | null,
    @Body() body: RegisterRequest,
    @Req() request: FastifyRequest,
  ): Promise<RegisterResponse> {
    if (admin) {
      const { id, email, name, role } = await this.users.create(admin, body);
      return { id, email, name, role };
    }
    await this.registration.register(body, request.ip);
    return { id: null, email: body.email, name: body.name, role: null };
  }

  @Post('login')
  @HttpCode(200)
  @Public()
  @ApiOkResponse({ type: TokenResponse })
  async login(
    @Body() body: LoginRequest,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<TokenResponse> {
    return this.http.login(body, request, reply);
  }

  @Post('refresh')
  @HttpCode(200)
  @Public()
  @ApiOkResponse({ type: TokenResponse })
  async refresh(
    @Body() body: RefreshRequest,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<TokenResponse> {
    return this.http.refresh(body, request, reply);
  }

  @Post('logout')
  @HttpCode(200)
  @Interactive()
  @ApiOkResponse({ type: SessionsEndedResponse })
  async logout(@Me() me: Principal, @Res({ passthrough: true }) reply: FastifyReply): Promise<SessionsEndedResponse> {
    await this.sessions.endOwn(me, me.sessionId ?? '', 'logout');
    this.http.forget(reply);
    return { sessionsEnded: 1 };
  }

  @Get('me')
  @Interactive()
  @ApiOkResponse({ type: MeResponse })
  async me(@Me() me: Principal): Promise<Profile> {
    return this.profiles.me(me);
  }

  @Post('password/change')
  @HttpCode(200)
  @Interactive()
  @ApiOkResponse({ type: PasswordChangedResponse })
  async changePassword(@Me() me: Principal, @Body() body: PasswordChangeRequest): Promise<PasswordChangedResponse> {
    const { endOtherSessions = true, revokeTokens = false } = body;
    return this.profiles.changePassword(me, { ...body, endOtherSessions, revokeTokens });
  }
}
