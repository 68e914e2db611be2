import cookie from '@fastify/cookie';
import { Controller, Get, Global, HttpCode, Module, Post } from '@nestjs/common';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { randomUUID } from 'node:crypto';
import { Allow, Interactive, Me, Public } from '../../src/access/decorators.js';
import { CertificateProof, DeviceProof, type ProvenDevice } from '../../src/access/device-proof.js';
import { Permission, type Role } from '../../src/access/permission.js';
import type { Principal } from '../../src/access/principal.js';
import { AuditModule } from '../../src/audit/audit.module.js';
import { AuditStream } from '../../src/audit/audit.stream.js';
import { AuthModule } from '../../src/auth/auth.module.js';
import { BootstrapService } from '../../src/auth/bootstrap.service.js';
import type { Config } from '../../src/platform/config/config.js';
import { withRequestContext } from '../../src/platform/context/request-context.js';
import { validationPipe } from '../../src/platform/http/validation.js';
import { PlatformModule } from '../../src/platform/platform.module.js';
import { ProblemFilter } from '../../src/platform/problem/problem.filter.js';
import { MemoryStore } from '../../src/platform/redis/memory-store.js';
import { logger } from '../../src/platform/telemetry/logger.js';
import { RateLimitModule } from '../../src/rate-limit/rate-limit.module.js';
import { MembershipEntity } from '../../src/users/membership.entity.js';
import { UserEntity } from '../../src/users/user.entity.js';
import { UsersModule } from '../../src/users/users.module.js';
import { FakeClock } from '../fakes/fake-clock.js';
import { administer, cloneDatabase } from './database.js';
import { testConfig } from './room.js';

export const ADMIN_EMAIL = 'root@example.org';
export const PASSWORD = 'vbx7-aqk-lantern';

/** One device whose secret is known, so that the guard can be asked about devices without the rooms that keep them. */
export const DEVICE = { id: randomUUID(), secret: 'pcs_right' };

@Controller('probe')
class ProbeController {
  @Get('public') @Public() open(): { ok: true } {
    return { ok: true };
  }

  @Get('undeclared') undeclared(): { ok: true } {
    return { ok: true };
  }

  @Get('session') @Interactive() session(@Me() me: Principal): Principal {
    return me;
  }

  @Get('read') @Allow(Permission.DevicesRead) read(@Me() me: Principal): { id: string } {
    return { id: me.id };
  }

  @Post('write') @HttpCode(200) @Allow(Permission.DevicesUpdate) write(@Me() me: Principal): { id: string } {
    return { id: me.id };
  }

  @Post('devices') @Allow(Permission.DevicesCreate, { adminKey: true }) provision(@Me() me: Principal): object {
    return { ...me, permissions: [...me.permissions] };
  }

  @Post('devices/:id/token') @HttpCode(200) @Allow(Permission.DeviceTokenRotate, { device: true }) token(@Me() me: Principal): object {
    return { ...me, permissions: [...me.permissions] };
  }
}

/** Nobody comes with a certificate here. */
class NoCertificate extends CertificateProof {
  override prove(): Promise<ProvenDevice | null> {
    return Promise.resolve(null);
  }
}

class OneDevice extends DeviceProof {
  tenantId = '';

  override async prove(deviceId: string, secret: string): Promise<ProvenDevice | null> {
    if (deviceId !== DEVICE.id || secret !== DEVICE.secret) return null;
    return { deviceId, tenantId: this.tenantId, status: 'ACTIVE', credentialId: randomUUID() };
  }
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Record<string, unknown> & { code?: string; access_token?: string; refresh_token?: string; id?: string };
  /** Set-Cookie lines by cookie name. */
  readonly cookies: ReadonlyMap<string, { value: string; attributes: string[] }>;
}

export interface CallOptions {
  readonly body?: unknown;
  readonly token?: string;
  readonly cookies?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly address?: string;
}

export type People = Awaited<ReturnType<typeof openPeople>>;

export interface PeopleOptions {
  readonly env?: Record<string, string>;
  readonly change?: (config: Config) => Config;
  /** Cost of bcrypt, 4 by default. */
  readonly rounds?: number;
  /** False where the first admin's password is not `PASSWORD`. */
  readonly loggedIn?: boolean;
}

export interface AuditedRow {
  readonly event_type: string;
  readonly severity: string;
  readonly tenant_id: string | null;
  readonly user_id: string | null;
  readonly actor_id: string | null;
  readonly details: Record<string, unknown>;
}

/** The rooms of people behind real HTTP parsing, over a real database, with a clock of the test's and a cheap bcrypt. */
export async function openPeople(options: PeopleOptions = {}) {
  const database = await cloneDatabase();
  const env = { ADMIN_EMAIL, ADMIN_PASSWORD: PASSWORD, ...options.env };
  const config = (options.change ?? ((same: Config) => same))(testConfig(database, env));
  // A refused request is what these tests are about; its lines in the log are not.
  logger.level = 'silent';
  const clock = new FakeClock(Date.now());
  const device = new OneDevice();

  @Global()
  @Module({ controllers: [ProbeController], providers: [{ provide: DeviceProof, useValue: device }, { provide: CertificateProof, useClass: NoCertificate }], exports: [DeviceProof, CertificateProof] })
  class ProbeModule {}

  const store = new MemoryStore({ clock });
  const module = await Test.createTestingModule({
    imports: [
      PlatformModule.forRoot({ config, entities: [UserEntity, MembershipEntity], store, clock }),
      AuditModule,
      RateLimitModule,
      UsersModule,
      AuthModule.withPasswordRounds(options.rounds ?? 4),
      ProbeModule,
    ],
  }).compile();
  const adapter = new FastifyAdapter({ genReqId: () => randomUUID() });
  const app = module.createNestApplication<NestFastifyApplication>(adapter, { logger: false });
  await app.register(cookie);
  adapter.getInstance().addHook('onRequest', (request, _reply, done) =>
    withRequestContext({ requestId: request.id, ip: request.ip }, done));
  app.setGlobalPrefix('api/v1');
  app.useGlobalPipes(validationPipe());
  app.useGlobalFilters(new ProblemFilter(config.http.publicUrl));
  await app.init();
  const firstAdmin = await app.get(BootstrapService).ensureFirstAdmin().catch(async (error: unknown) => {
    await app.close();
    await database.drop();
    throw error;
  });

  const call = async (method: string, path: string, given: CallOptions = {}): Promise<Answer> => {
    const headers: Record<string, string> = { ...given.headers };
    if (given.token !== undefined) headers['authorization'] = `Bearer ${given.token}`;
    const response = await app.inject({
      method: method as 'GET',
      url: `/api/v1${path}`,
      headers,
      ...(given.body === undefined ? {} : { payload: given.body as object }),
      ...(given.cookies ? { cookies: { ...given.cookies } } : {}),
      remoteAddress: given.address ?? '192.0.2.1',
    });
    const lines = [response.headers['set-cookie'] ?? []].flat();
    const cookies = new Map(lines.map((line) => {
      const [pair = '', ...attributes] = line.split('; ');
      const [name = '', value = ''] = [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)];
      return [name, { value: decodeURIComponent(value), attributes }] as const;
    }));
    const body = response.body === '' ? {} : response.json<Answer['body']>();
    return { status: response.statusCode, headers: response.headers as Answer['headers'], body, cookies };
  };

  const login = async (email = ADMIN_EMAIL, password = PASSWORD, more: CallOptions & { body?: object } = {}) =>
    call('POST', '/auth/login', { ...more, body: { email, password, ...more.body } });

  const tokenOf = async (email = ADMIN_EMAIL, password = PASSWORD): Promise<string> => {
    const { status, body } = await login(email, password);
    if (status !== 200) throw new Error(`login of ${email} answered ${status} ${body.code}`);
    return body.access_token ?? '';
  };

  /** Runs SQL as the owner, past row security. */
  const sql = async <T extends object>(text: string, params: unknown[] = []): Promise<T[]> => {
    let rows: T[] = [];
    await administer(database.url, async (client) => {
      rows = (await client.query<T>(text, params)).rows;
    });
    return rows;
  };

  const adminToken = options.loggedIn === false ? '' : await tokenOf();
  const [tenant] = await sql<{ id: string }>(`SELECT id FROM tenants WHERE slug = 'default'`);
  device.tenantId = tenant?.id ?? '';

  return {
    app,
    config,
    database,
    clock,
    firstAdmin,
    adminToken,
    tenantId: tenant?.id ?? '',
    call,
    login,
    tokenOf,
    sql,
    /** Creates a member of `default` and answers their id. */
    async member(email: string, role: Role, password = PASSWORD): Promise<string> {
      const { status, body } = await call('POST', '/users', { token: adminToken, body: { email, password, name: email, role } });
      if (status !== 201) throw new Error(`creating ${email} answered ${status} ${body.code}`);
      return body.id ?? '';
    },
    /** Another tenant, with memberships for accounts that exist. */
    async tenant(slug: string, members: Record<string, Role> = {}): Promise<string> {
      const [made] = await sql<{ id: string }>(`INSERT INTO tenants (slug, name) VALUES ($1, $1) RETURNING id`, [slug]);
      for (const [userId, role] of Object.entries(members)) {
        await sql('INSERT INTO memberships (tenant_id, user_id, role) VALUES ($1, $2, $3)', [made?.id, userId, role]);
      }
      return made?.id ?? '';
    },
    /** Audit rows of these types, oldest first, the buffered ones included. */
    async audited(...types: string[]) {
      await app.get(AuditStream).flush();
      return sql<AuditedRow>(
        'SELECT * FROM security_audit_logs WHERE event_type = ANY ($1) ORDER BY occurred_at, id', [types],
      );
    },
    async close(): Promise<void> {
      await app.close();
      await database.drop();
    },
  };
}
