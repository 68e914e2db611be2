import { TLSSocket } from 'node:tls';
import { Inject, Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Access, PermissionAccess } from '../access/decorators.js';
import { CertificateProof, DeviceProof, type ProvenDevice } from '../access/device-proof.js';
import type { Permission } from '../access/permission.js';
import type { Principal } from '../access/principal.js';
import { CONFIG, type Config } from '../platform/config/config.js';
import { equalSecrets } from '../platform/crypto/constant-time.js';
import { isCanonicalUuid } from '../platform/http/uuid-param.js';
import { platformError } from '../platform/problem/platform.errors.js';
import { RateLimitService } from '../rate-limit/rate-limit.service.js';
import { TenantsService } from '../users/tenants.service.js';
import { AccessTokenStrategy } from './access-token.strategy.js';
import { authError } from './auth.errors.js';
import { PatJudge } from './pat-judge.js';
import { presentedBy } from './presented.js';
import { SessionCookies } from './session-cookies.js';

/** RFC 6750 §3: what a client is told to bring, and that what it brought is no good. */
const CHALLENGE = { 'WWW-Authenticate': 'Bearer realm="portcullis"' };
const INVALID_TOKEN = { 'WWW-Authenticate': 'Bearer realm="portcullis", error="invalid_token"' };
const DEVICE_CHALLENGE = { 'WWW-Authenticate': 'Bearer realm="portcullis", Basic realm="portcullis device", charset="UTF-8"' };

/** Finds out who makes a request, by exactly one credential. What it may do is another question. */
@Injectable()
export class IdentifyService {
  constructor(
    private readonly tokens: AccessTokenStrategy,
    private readonly pats: PatJudge,
    private readonly cookies: SessionCookies,
    private readonly devices: DeviceProof,
    private readonly certificates: CertificateProof,
    private readonly tenants: TenantsService,
    private readonly limits: RateLimitService,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /** @throws UNAUTHENTICATED, TOKEN_INVALID, CREDENTIALS_DISAGREE, INVALID_CREDENTIALS, ADMIN_KEY_WRONG, RATE_LIMITED */
  async caller(request: FastifyRequest, reply: FastifyReply, access: Access): Promise<Principal> {
    const presented = presentedBy(request.headers.authorization, this.cookies.read(request, 'access_token'));
    const adminKey = access.kind === 'permission' && access.adminKey ? request.headers['x-admin-key'] : undefined;
    if (access.kind === 'permission' && adminKey !== undefined) {
      if (presented.kind !== 'none') throw authError('CREDENTIALS_DISAGREE', { headers: CHALLENGE });
      return this.provisioner(adminKey, request.ip, access);
    }
    const forDevices = access.kind === 'permission' && access.device;
    switch (presented.kind) {
      case 'token': {
        const principal = await this.tokens.judge(request, reply);
        if (!principal) throw authError('TOKEN_INVALID', { headers: INVALID_TOKEN });
        return principal;
      }
      case 'pat': {
        const principal = await this.pats.judge(presented.token, request.ip, (request.params as { id?: string }).id);
        if (!principal) throw authError('TOKEN_INVALID', { headers: INVALID_TOKEN });
        return principal;
      }
      case 'basic':
        if (forDevices) return this.device(presented.user, presented.password, request, access);
        throw authError('UNAUTHENTICATED', { headers: CHALLENGE });
      case 'conflict':
        throw authError('CREDENTIALS_DISAGREE', { headers: CHALLENGE });
      default: {
        const certificate = access.kind === 'permission' && access.device ? clientCertificate(request) : null;
        if (access.kind === 'permission' && certificate !== null) return this.certified(certificate, request, access);
        throw authError('UNAUTHENTICATED', { headers: forDevices ? DEVICE_CHALLENGE : CHALLENGE });
      }
    }
  }

  private async device(id: string, secret: string, request: FastifyRequest, { permission }: PermissionAccess): Promise<Principal> {
    // Ids are compared byte for byte before any look-up.
    const proven = isCanonicalUuid(id) ? await this.devices.prove(id, secret) : null;
    if (!proven) {
      // Only failures are slowed down: a right secret is never refused for what others behind the same address do.
      await this.limits.enforce('device.address', request.ip);
      throw authError('INVALID_CREDENTIALS', { headers: DEVICE_CHALLENGE });
    }
    return actingFor(proven, 'basic', request, permission);
  }

  /** The handshake has shown that the key is at hand; what the certificate is worth is asked now. */
  private async certified(der: Buffer, request: FastifyRequest, { permission }: PermissionAccess): Promise<Principal> {
    const proven = await this.certificates.prove(der);
    if (!proven) throw authError('INVALID_CREDENTIALS', { headers: DEVICE_CHALLENGE });
    return actingFor(proven, 'certificate', request, permission);
  }

  /** A provisioning station acts in `default`, with the permission of this one route. */
  private async provisioner(key: string | string[], address: string, { permission }: PermissionAccess): Promise<Principal> {
    if (typeof key !== 'string' || !equalSecrets(key, this.config.adminKey)) {
      await this.limits.enforce('adminkey.address', address);
      throw authError('ADMIN_KEY_WRONG', { headers: CHALLENGE });
    }
    await this.limits.enforce('provision.address', address);
    const tenantId = await this.tenants.defaultTenantId();
    return {
      kind: 'provisioner',
      id: 'admin-key',
      tenantId,
      role: null,
      platformRole: null,
      permissions: new Set([permission]),
      sessionId: null,
      credential: 'admin-key',
      tenantFrozen: (await this.tenants.find(tenantId))?.status === 'FROZEN',
    };
  }
}

/** A device may speak for itself only: to it, every other device does not exist. */
function actingFor(proven: ProvenDevice, credential: 'basic' | 'certificate', request: FastifyRequest, permission: Permission): Principal {
  if ((request.params as { id?: string }).id !== proven.deviceId) throw platformError('NOT_FOUND');
  return {
    kind: 'device',
    id: proven.deviceId,
    tenantId: proven.tenantId,
    role: null,
    platformRole: null,
    permissions: new Set([permission]),
    sessionId: null,
    credential,
    credentialId: proven.credentialId,
  };
}

/** The client's certificate of a connection whose TLS this program ends; never what a header says. */
function clientCertificate({ raw: { socket } }: FastifyRequest): Buffer | null {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return null;
  const der: Buffer | undefined = socket.getPeerCertificate().raw;
  return der ?? null;
}
