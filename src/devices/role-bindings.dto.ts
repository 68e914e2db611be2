import { BINDING_ROLES, type BindingRole } from '../access/permission.js';
import { EnumField, ObjectField, TextField, TimeField, UuidField } from '../platform/http/fields.js';
import { PageQuery } from '../platform/http/paging.js';
import { BindingView } from './role-binding.view.js';
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

export class BindingPage {
  @ObjectField(() => BindingView, { list: true }) items!: BindingView[];
  @TextField({ nullable: true, max: 512 }) nextCursor!: string | null;
}

export function bindingOf({ expiresAt, ...rest }: CreateBindingRequest): NewBinding {
  return expiresAt === undefined ? rest : { ...rest, expiresAt: new Date(expiresAt) };
}
