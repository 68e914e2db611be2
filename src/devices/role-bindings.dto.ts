import { BINDING_ROLES, type BindingRole } from '../access/permission.js';
import { EnumField, ObjectField, TextField, TimeField, UuidField } from '../platform/http/fields.js';
import { PageQuery } from '../platform/http/paging.js';
import type { RoleBinding } from './role-binding.js';
import type { NewBinding } from './role-bindings.service.js';

export class CreateBindingRequest {
  @UuidField({ description: 'A member of the tenant.' }) userId!: string;
  @EnumField(BINDING_ROLES) role!: BindingRole;

  @UuidField({ optional: true, description: 'The group, its members and the groups in it. This or `deviceId`.' })
  groupId?: string;

  @UuidField({ optional: true })
  deviceId?: string;

  @TimeField({ optional: true, description: 'Left out: until it is deleted.' })
  expiresAt?: string;
}

export class BindingListQuery extends PageQuery {
  @UuidField({ optional: true })
  userId?: string;

  @UuidField({ optional: true, description: 'Bound to this very group.' })
  groupId?: string;

  @UuidField({ optional: true, description: 'Bound to this very device.' })
  deviceId?: string;
}

export class BindingView {
  @UuidField() id!: string;
  @UuidField() userId!: string;
  @EnumField(BINDING_ROLES) role!: BindingRole;
  @UuidField({ nullable: true }) groupId!: string | null;
  @UuidField({ nullable: true }) deviceId!: string | null;
  @TextField({ max: 64, description: 'Who made it.' }) createdBy!: string;
  @TimeField() createdAt!: string;
  @TimeField({ nullable: true, description: 'From then on it gives nothing.' }) expiresAt!: string | null;
}

export class BindingPage {
  @ObjectField(() => BindingView, { list: true }) items!: BindingView[];
  @TextField({ nullable: true, max: 512 }) nextCursor!: string | null;
}

export function bindingOf({ expiresAt, ...rest }: CreateBindingRequest): NewBinding {
  return expiresAt === undefined ? rest : { ...rest, expiresAt: new Date(expiresAt) };
}

export function viewBinding({ createdAt, expiresAt, ...rest }: RoleBinding): BindingView {
  const { id, userId, role, groupId, deviceId, createdBy } = rest;
  return { id, userId, role, groupId, deviceId, createdBy, createdAt: createdAt.toISOString(), expiresAt: expiresAt?.toISOString() ?? null };
}
