import { ROLES, type PlatformRole, type Role } from '../access/permission.js';
import {
  BooleanField,
  EmailField,
  EnumField,
  IntegerField,
  ListField,
  ObjectField,
  OpaqueField,
  TextField,
  TimeField,
  UuidField,
} from '../platform/http/fields.js';
import type { Page } from '../platform/http/paging.js';
import type { Session, Transport } from './session.js';

const PLATFORM_ROLES = ['PLATFORM_ADMIN', 'PLATFORM_OPERATOR', 'PLATFORM_OPERATOR_WRITE'] as const;
const TRANSPORTS = ['json', 'cookie'] as const;

export class LoginRequest {
  @EmailField({ example: 'ada@example.org' })
  email!: string;

  @OpaqueField({ min: 1, max: 256 })
  password!: string;

  @EnumField(TRANSPORTS, {
    optional: true,
    description: '`cookie` for browsers: the tokens come as httpOnly cookies and not in the body. `json` by default.',
  })
  transport?: Transport;

  @TextField({ optional: true, min: 1, max: 63, description: 'Slug or id, for members of several tenants; `X-Tenant` says the same.' })
  tenant?: string;
}

export class RefreshRequest {
  @TextField({ optional: true, min: 1, max: 4096, description: 'Left out where the cookie bears it.' })
  refresh_token?: string;
}

export class TokenResponse {
  @TextField({ optional: true, max: 4096, description: 'Not with cookies.' })
  access_token?: string;

  @TextField({ optional: true, max: 256, description: 'Works once. Not with cookies.' })
  refresh_token?: string;

  @EnumField(['bearer'], { optional: true, description: 'Not with cookies.' })
  token_type?: 'bearer';

  @IntegerField({ min: 0, max: 86_400, description: 'Seconds until the access token ends.', example: 3600 })
  expires_in!: number;
}

export class RegisterRequest {
  @EmailField({ example: 'ada@example.org' })
  email!: string;

  @OpaqueField({ min: 8, max: 128, description: 'No composition rules; passwords that everybody uses are refused.' })
  password!: string;

  @TextField({ min: 1, max: 200, example: 'Ada Lovelace' })
  name!: string;

  @EnumField(ROLES, { optional: true, description: 'VIEWER by default; ignored while registration is open.' })
  role?: Role;
}

export class RegisterResponse {
  @UuidField({ nullable: true, description: 'null while registration is open: it would tell whether the address was free.' })
  id!: string | null;

  @EmailField()
  email!: string;

  @TextField({ max: 200 })
  name!: string;

  @EnumField(ROLES, { nullable: true, description: 'null while registration is open: the account belongs to no tenant.' })
  role!: Role | null;
}

export class TenantSummary {
  @UuidField()
  id!: string;

  @TextField({ max: 63 })
  slug!: string;

  @TextField({ max: 200 })
  name!: string;
}

export class MeResponse {
  @UuidField()
  id!: string;

  @EmailField()
  email!: string;

  @TextField({ max: 200 })
  name!: string;

  @ObjectField(() => TenantSummary, { nullable: true })
  tenant!: TenantSummary | null;

  @EnumField(ROLES, { nullable: true })
  role!: Role | null;

  @EnumField(PLATFORM_ROLES, { nullable: true })
  platformRole!: PlatformRole | null;

  @ListField('text', { max: 200, description: 'What the account may do in the tenant, as `service.resource.verb`.' })
  permissions!: string[];
}

export class PasswordChangeRequest {
  @OpaqueField({ min: 1, max: 256 })
  currentPassword!: string;

  @OpaqueField({ min: 8, max: 128 })
  newPassword!: string;

  @BooleanField({ optional: true, description: 'True by default: every other session of the account ends.' })
  endOtherSessions?: boolean;

  @BooleanField({ optional: true, description: 'Access tokens end as well, in every tenant. False by default.' })
  revokeTokens?: boolean;
}

export class SessionsEndedResponse {
  @IntegerField({ min: 0, max: 1_000_000 })
  sessionsEnded!: number;
}

export class PasswordChangedResponse extends SessionsEndedResponse {
  @IntegerField({ min: 0, max: 1_000_000, description: 'Personal access tokens.' })
  tokensRevoked!: number;
}

export class SessionResponse {
  @UuidField()
  id!: string;

  @BooleanField({ description: 'Whether it is the one that asks.' })
  current!: boolean;

  @UuidField({ nullable: true })
  tenantId!: string | null;

  @EnumField(TRANSPORTS)
  transport!: Transport;

  @TextField({ max: 64, nullable: true, description: 'Address of the login.' })
  ip!: string | null;

  @TextField({ max: 256, nullable: true })
  userAgent!: string | null;

  @TimeField()
  createdAt!: string;

  @TimeField()
  lastUsedAt!: string;

  @TimeField({ description: 'When it ends unless it is refreshed.' })
  expiresAt!: string;
}

export class SessionListResponse {
  @ObjectField(() => SessionResponse, { list: true })
  items!: SessionResponse[];

  @TextField({ max: 512, nullable: true })
  nextCursor!: string | null;
}

export function showSessions({ items, nextCursor }: Page<Session>, current: string | null): SessionListResponse {
  const show = (session: Session): SessionResponse => ({
    id: session.id,
    current: session.id === current,
    tenantId: session.tenantId,
    transport: session.transport,
    ip: session.ip,
    userAgent: session.userAgent,
    createdAt: session.createdAt.toISOString(),
    lastUsedAt: session.lastUsedAt.toISOString(),
    expiresAt: session.refreshExpiresAt.toISOString(),
  });
  return { items: items.map(show), nextCursor };
}
