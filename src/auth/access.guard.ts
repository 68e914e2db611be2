import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ACCESS, type Access } from '../access/decorators.js';
import type { Principal } from '../access/principal.js';
import { actorOf, ANONYMOUS_ACTOR, type AuditEventType } from '../audit/audit-event.js';
import { AuditStream } from '../audit/audit.stream.js';
import { readOnly } from '../platform/context/request-context.js';
import { isAppError } from '../platform/problem/app-error.js';
import { platformError } from '../platform/problem/platform.errors.js';
import { TenantsService } from '../users/tenants.service.js';
import { AdmissionService } from './admission.service.js';
import { authError } from './auth.errors.js';
import { CsrfTokens } from './csrf.js';
import { IdentifyService } from './identify.service.js';
import { OPEN_REGISTRATION } from './open-registration.js';
import { RegistrationService } from './registration.service.js';
import { entryOf } from './tenant-entry.js';

export type GuardedRequest = FastifyRequest & { principal?: Principal };

/** Methods that change nothing (RFC 9110 §9.2.1); every other one is a write. */
const SAFE_METHODS: readonly string[] = ['GET', 'HEAD', 'OPTIONS'];

/** Permissions that change nothing, whatever the method of their route. */
const READING_VERBS = /\.(read|explain|export)$/;

/** What a refusal is called in the security log, by its status; 404 is a caller who named what is not theirs. */
const REFUSALS: Readonly<Record<number, AuditEventType>> = {
  401: 'AUTH_FAILURE',
  403: 'ACCESS_DENIED',
  404: 'ACCESS_DENIED',
  429: 'RATE_LIMITED',
};

/**
 * The one guard in front of every route: finds out who calls, then whether they may. Closed by default: a route that says
 * nothing about its access is refused.
 */
@Injectable()
export class AccessGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly identify: IdentifyService,
    private readonly admission: AdmissionService,
    private readonly csrf: CsrfTokens,
    private readonly tenants: TenantsService,
    private readonly registration: RegistrationService,
    private readonly audit: AuditStream,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const http = context.switchToHttp();
    const request = http.getRequest<GuardedRequest>();
    const handler = context.getHandler();
    const access = this.reflector.get<Access | undefined>(ACCESS, handler);
    let principal: Principal | null = null;
    try {
      if (!access) throw authError('ACCESS_UNDECLARED', { internal: `${context.getClass().name}.${handler.name} declares no access` });
      if (access.kind === 'public' || this.isOpen(handler)) return true;
      const caller = await this.identify.caller(request, http.getResponse<FastifyReply>(), access);
      principal = caller;
      principal = await this.inTenant(caller, access, request);
      await this.admit(principal, access, request);
      if (principal.tenantId !== caller.tenantId) this.noteEntry(principal, request);
      request.principal = principal;
      return true;
    } catch (error) {
      this.note(error, request, principal);
      throw error;
    }
  }

  private isOpen(handler: ReturnType<ExecutionContext['getHandler']>): boolean {
    return this.registration.open && this.reflector.get<boolean | undefined>(OPEN_REGISTRATION, handler) === true;
  }

  private async admit(principal: Principal, access: Access, request: GuardedRequest): Promise<void> {
    if (principal.credential === 'cookie' && !SAFE_METHODS.includes(request.method)) {
      const given = request.headers['x-csrf-token'];
      if (!(await this.csrf.matches(principal.sessionId ?? '', given))) throw authError('CSRF_TOKEN_INVALID');
    }
    const forPeople = access.kind === 'session' || (access.kind === 'permission' && access.interactive);
    if (forPeople && (principal.kind !== 'user' || principal.sessionId === null)) throw authError('SESSION_REQUIRED');
    if (access.kind !== 'permission') return;
    const ofPlatform = access.permission.startsWith('platform.');
    await this.admission.require(principal, access, (request.params as { id?: string }).id);
    const writes = !SAFE_METHODS.includes(request.method) && !READING_VERBS.test(access.permission);
    if (principal.tenantFrozen && writes && !ofPlatform) throw authError('TENANT_FROZEN');
  }

  /**
   * The principal in the tenant that `X-Tenant` or `X-Read-Tenant` names. Everybody acts in their own tenant only, and naming another is
   * answered as if there were no such tenant; but sessions of the platform plane act in any tenant as its ADMIN, or read there.
   */
  private async inTenant(principal: Principal, access: Access, { headers, method }: GuardedRequest): Promise<Principal> {
    const toRead = headers['x-read-tenant'];
    const named = toRead ?? headers['x-tenant'];
    if (named === undefined || (toRead === undefined && named === principal.tenantId)) return principal;
    if (toRead !== undefined && headers['x-tenant'] !== undefined) {
      throw platformError('MALFORMED_REQUEST', { detail: 'X-Tenant and X-Read-Tenant exclude each other.' });
    }
    const tenant = typeof named === 'string' ? await this.tenants.findByName(named) : null;
    if (toRead === undefined && tenant !== null && tenant.id === principal.tenantId) return principal;
    const entry = principal.kind === 'user' && access.kind === 'permission' ? entryOf(principal.platformRole, toRead === undefined ? 'act' : 'read') : null;
    if (tenant === null || entry === null) throw platformError('NOT_FOUND', { internal: 'the header names another tenant' });
    const { role, permissions, readsOnly } = entry;
    if (readsOnly) {
      if (!SAFE_METHODS.includes(method)) throw authError('PERMISSION_DENIED', { detail: 'X-Read-Tenant is for reading only.' });
      readOnly();
    }
    return { ...principal, tenantId: tenant.id, role, permissions, tenantFrozen: tenant.status === 'FROZEN' };
  }

  /** Each entry is told to the tenant that was entered. */
  private noteEntry(principal: Principal, request: GuardedRequest): void {
    this.audit.note({
      type: 'TENANT_ENTERED',
      tenantId: principal.tenantId,
      actor: actorOf(principal),
      ip: request.ip,
      // Repeats are counted together by their reason: what was called is told of each call.
      details: { reason: `${principal.platformRole} ${request.method} ${request.url.split('?')[0]}`, platformRole: principal.platformRole },
    });
  }

  /** Refusals of people are security events; they go through the bounded stream, since a guard writes no tables. */
  private note(error: unknown, request: GuardedRequest, principal: Principal | null): void {
    const type = isAppError(error) ? REFUSALS[error.status] : undefined;
    if (!isAppError(error) || type === undefined) return;
    this.audit.note({
      type,
      tenantId: principal?.tenantId ?? null,
      actor: principal ? actorOf(principal) : ANONYMOUS_ACTOR,
      ip: request.ip,
      ...(principal?.kind === 'device' ? { deviceId: principal.id } : {}),
      details: {
        reason: error.code,
        method: request.method,
        path: request.url.split('?')[0],
        ...(error.detail === undefined ? {} : { detail: error.detail }),
      },
    });
  }
}
