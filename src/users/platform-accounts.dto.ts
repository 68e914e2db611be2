import { ROLES, type PlatformRole, type Role } from '../access/permission.js';
import { BooleanField, EmailField, EnumField, IntegerField, ObjectField, TextField, TimeField, UuidField } from '../platform/http/fields.js';
import type { AccountOverview } from './platform-accounts.repository.js';
import type { Departure } from './platform-accounts.service.js';
import type { AccountStatus, MembershipStatus } from './user.js';

const PLATFORM_ROLE_NAMES = ['PLATFORM_ADMIN', 'PLATFORM_OPERATOR', 'PLATFORM_OPERATOR_WRITE'] as const;

export class UpdateAccountRequest {
  @EnumField([...PLATFORM_ROLE_NAMES, 'NONE'], { description: 'Of the account, beyond any tenant; `NONE` takes it away.' })
  platformRole!: PlatformRole | 'NONE';
}

export class AccountMembershipView {
  @UuidField()
  tenantId!: string;

  @TextField({ max: 63 })
  slug!: string;

  @EnumField(ROLES)
  role!: Role;

  @EnumField(['ACTIVE', 'DISABLED'])
  status!: MembershipStatus;
}

export class AccountResponse {
  @UuidField()
  id!: string;

  @EmailField()
  email!: string;

  @TextField({ max: 200 })
  name!: string;

  @EnumField(['ACTIVE', 'DISABLED'], { description: 'Of the account: a disabled one cannot log in anywhere.' })
  status!: AccountStatus;

  @EnumField(PLATFORM_ROLE_NAMES, { nullable: true })
  platformRole!: PlatformRole | null;

  @TimeField()
  createdAt!: string;

  @ObjectField(() => AccountMembershipView, { list: true })
  memberships!: AccountMembershipView[];
}

export class LeftTenantView {
  @UuidField()
  tenantId!: string;

  @TextField({ max: 63 })
  slug!: string;

  @IntegerField({ min: 0, max: 1_000_000, description: 'Sessions end with the account; those counted here began meanwhile.' })
  sessionsEnded!: number;

  @IntegerField({ min: 0, max: 1_000_000 })
  patsRevoked!: number;

  @IntegerField({ min: 0, max: 1_000_000 })
  invitationsRevoked!: number;

  @BooleanField({ description: 'The tenant has no active ADMIN any more.' })
  withoutAdmin!: boolean;
}

export class DepartureStepView {
  @TextField({ max: 32 })
  step!: string;

  @IntegerField({ min: 0, max: 1e9, description: 'Milliseconds.' })
  ms!: number;
}

export class DepartureResponse extends AccountResponse {
  @IntegerField({ min: 0, max: 1_000_000, description: 'In all tenants.' })
  sessionsEnded!: number;

  @EnumField(PLATFORM_ROLE_NAMES, { nullable: true, description: 'What was taken away.' })
  platformRoleBefore!: PlatformRole | null;

  @ObjectField(() => LeftTenantView, { list: true })
  tenants!: LeftTenantView[];

  @ObjectField(() => DepartureStepView, { list: true })
  steps!: DepartureStepView[];

  @IntegerField({ min: 0, max: 1e9, description: 'Milliseconds.' })
  totalMs!: number;
}

export function showAccount({ createdAt, memberships, ...rest }: AccountOverview): AccountResponse {
  return { ...rest, createdAt: createdAt.toISOString(), memberships: [...memberships] };
}

export function showDeparture({ account, tenants, steps, ...rest }: Departure): DepartureResponse {
  return { ...showAccount(account), ...rest, tenants: [...tenants], steps: [...steps] };
}
