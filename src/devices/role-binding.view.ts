import { BINDING_ROLES, type BindingRole } from '../access/permission.js';
import { EnumField, TextField, TimeField, UuidField } from '../platform/http/fields.js';
import type { RoleBinding } from './role-binding.js';

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

export function viewBinding({ createdAt, expiresAt, ...rest }: RoleBinding): BindingView {
  const { id, userId, role, groupId, deviceId, createdBy } = rest;
  return { id, userId, role, groupId, deviceId, createdBy, createdAt: createdAt.toISOString(), expiresAt: expiresAt?.toISOString() ?? null };
}
