import { ROLES, type Role } from '../access/permission.js';
import { EmailField, EnumField, ObjectField, TextField, TimeField, UuidField } from '../platform/http/fields.js';
import type { Page } from '../platform/http/paging.js';
import type { Tenant, TenantStatus } from './tenant.js';

const SLUG = { min: 1, max: 63, pattern: /^[a-z0-9][a-z0-9._-]{0,62}$/, patternHint: 'lower-case letters, digits and . _ -' } as const;
export class CreateTenantRequest {
  @TextField({ ...SLUG, example: 'acme' })
  slug!: string;

  @TextField({ min: 1, max: 200, example: 'Acme Waterworks' })
  name!: string;
}

export class UpdateTenantRequest {
  @TextField({ ...SLUG, optional: true })
  slug?: string;

  @TextField({ optional: true, min: 1, max: 200 })
  name?: string;
}

export class AddTenantMemberRequest {
  @EmailField({ description: 'Of an account that exists.' })
  email!: string;

  @EnumField(ROLES)
  role!: Role;
}

export class TenantResponse {
  @UuidField()
  id!: string;

  @TextField({ max: 63 })
  slug!: string;

  @TextField({ max: 200 })
  name!: string;

  @EnumField(['ACTIVE', 'FROZEN'])
  status!: TenantStatus;

  @TextField({ max: 500, nullable: true })
  statusReason!: string | null;

  @TimeField({ nullable: true, description: 'When it will be deleted with all that it has; null: it stays.' })
  deleteAfter!: string | null;

  @TimeField()
  createdAt!: string;
}

export class TenantListResponse {
  @ObjectField(() => TenantResponse, { list: true })
  items!: TenantResponse[];

  @TextField({ max: 512, nullable: true })
  nextCursor!: string | null;
}

export function showTenant({ id, slug, name, status, statusReason, deleteAfter, createdAt }: Tenant): TenantResponse {
  return {
    id, slug, name, status, statusReason,
    deleteAfter: deleteAfter?.toISOString() ?? null,
    createdAt: createdAt.toISOString(),
  };
}

export function showTenants({ items, nextCursor }: Page<Tenant>): TenantListResponse {
  return { items: items.map(showTenant), nextCursor };
}
