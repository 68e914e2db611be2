import { Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { isAppError } from '../platform/problem/app-error.js';
import { platformError } from '../platform/problem/platform.errors.js';
import type { LoginRequest, RefreshRequest, TokenResponse } from './auth.dto.js';
import { authError } from './auth.errors.js';
import { CsrfTokens } from './csrf.js';
import { LoginService } from './login.service.js';
import { RefreshService, type RefreshInput } from './refresh.service.js';
import type { Grant, Origin } from './session.js';
import { SessionCookies } from './session-cookies.js';

/** How login and refresh travel over HTTP: tokens in bodies, or in cookies with a CSRF token in a header, never both. */
@Injectable()
export class AuthHttpService {
  constructor(
    private readonly logins: LoginService,
    private readonly refreshes: RefreshService,
    private readonly cookies: SessionCookies,
    private readonly csrf: CsrfTokens,
  ) {}

  async login(body: LoginRequest, request: FastifyRequest, reply: FastifyReply): Promise<TokenResponse> {
    const { email, password, transport = 'json' } = body;
    const tenant = namedTenant(body.tenant, request.headers['x-tenant']);
    const mark = this.cookies.read(request, 'known_browser');
    const grant = await this.logins.login({ email, password, transport, tenant, mark }, originOf(request));
    if (grant.mark !== null) this.cookies.writeMark(reply, grant.mark);
    return this.deliver(grant, reply);
  }

  async refresh(body: RefreshRequest, request: FastifyRequest, reply: FastifyReply): Promise<TokenResponse> {
    const input = this.refreshInput(body.refresh_token, request);
    try {
      return await this.deliver(await this.refreshes.refresh(input, originOf(request)), reply);
    } catch (error) {
      // What no longer works need not be sent again.
      if (input.transport === 'cookie' && isAppError(error, 'REFRESH_TOKEN_INVALID')) this.cookies.clear(reply);
      throw error;
    }
  }

  forget(reply: FastifyReply): void {
    this.cookies.clear(reply);
  }

  private refreshInput(inBody: string | undefined, request: FastifyRequest): RefreshInput {
    const inCookie = this.cookies.read(request, 'refresh_token');
    if (inBody !== undefined && inCookie !== undefined) throw authError('CREDENTIALS_DISAGREE');
    if (inBody !== undefined) return { transport: 'json', token: inBody };
    return { transport: 'cookie', token: inCookie ?? '', csrf: request.headers['x-csrf-token'] };
  }

  private async deliver(grant: Grant, reply: FastifyReply): Promise<TokenResponse> {
    const { accessToken, refreshToken, expiresIn } = grant;
    if (grant.transport === 'json') {
      return { access_token: accessToken, refresh_token: refreshToken, token_type: 'bearer', expires_in: expiresIn };
    }
    this.cookies.write(reply, grant);
    void reply.header('x-csrf-token', await this.csrf.of(grant.sessionId));
    return { expires_in: expiresIn };
  }
}

function namedTenant(inBody: string | undefined, header: string | string[] | undefined): string | undefined {
  const inHeader = Array.isArray(header) ? header.join(',') : header;
  if (inBody !== undefined && inHeader !== undefined && inBody !== inHeader) {
    throw platformError('MALFORMED_REQUEST', { detail: 'The body and X-Tenant name different tenants.' });
  }
  return inBody ?? inHeader;
}

/** Where a request comes from; the address is Fastify's, after `TRUST_PROXY` was applied. */
export function originOf(request: FastifyRequest): Origin {
  return { ip: request.ip, userAgent: request.headers['user-agent'] ?? null };
}
