import type { Verdict } from '../access/decision.js';
import { BINDING_ROLES, ROLES, type BindingRole, type Permission, type Role } from '../access/permission.js';
import { SCOPE_PERMISSIONS } from '../access/scope.js';
import type { Reach } from '../devices/role-binding.js';
import { BindingView, viewBinding } from '../devices/role-binding.view.js';
import { BooleanField, EmailField, EnumField, ListField, ObjectField, TextField, TimeField, UuidField } from '../platform/http/fields.js';
import { PageQuery, type Page } from '../platform/http/paging.js';
import type { Standing } from './rights.repository.js';
import type { Able, Answer, Holdings, Question } from './rights.service.js';

const PERMISSIONS = SCOPE_PERMISSIONS as readonly [Permission, ...Permission[]];
const REASONS = ['TENANT_ROLE', 'BINDING', 'ROLE', 'SCOPE', 'HIDDEN', 'INACTIVE'] as const;

const OBJECT = 'The object; left out with the other: the tenant as a whole.';

/* Requests */

export class WhoCanQuery extends PageQuery {
  @EnumField(PERMISSIONS) permission!: Permission;
  @UuidField({ optional: true, description: OBJECT }) groupId?: string;
  @UuidField({ optional: true, description: OBJECT }) deviceId?: string;
}

export class CheckQuery {
  @UuidField({ description: 'A member of the tenant.' }) userId!: string;
  @EnumField(PERMISSIONS) permission!: Permission;
  @UuidField({ optional: true, description: OBJECT }) groupId?: string;
  @UuidField({ optional: true, description: OBJECT }) deviceId?: string;
  @UuidField({ optional: true, description: 'An access token of theirs instead of the person.' }) patId?: string;
}

/* Answers */

export class BoundView {
  @UuidField() bindingId!: string;
  @EnumField(BINDING_ROLES) role!: BindingRole;
  @UuidField({ nullable: true, description: 'The group to which the role is bound.' }) groupId!: string | null;
  @UuidField({ nullable: true, description: 'The device to which the role is bound.' }) deviceId!: string | null;

  @ListField('uuid', { max: 8, description: 'Groups from the object upwards to that one. Of several ways the shortest.' })
  path!: string[];
}

export class TokenView {
  @UuidField() id!: string;
  @TextField({ max: 100 }) name!: string;
  @TimeField() expiresAt!: string;
}

export class PersonView {
  @UuidField() id!: string;
  @EmailField() email!: string;
  @TextField({ max: 200 }) name!: string;
  @EnumField(ROLES, { description: 'In the tenant.' }) role!: Role;
}

export class AbleView extends PersonView {
  @EnumField(['TENANT_ROLE', 'BINDING'], { description: 'Where it comes from.' }) by!: 'TENANT_ROLE' | 'BINDING';
  @ObjectField(() => BoundView, { list: true, description: 'Bindings that give it; none where the role in the tenant does.' }) bindings!: BoundView[];
  @ObjectField(() => TokenView, { list: true, description: 'Access tokens of theirs that may as well.' }) tokens!: TokenView[];
}

export class AblePage {
  @ObjectField(() => AbleView, { list: true }) items!: AbleView[];
  @TextField({ nullable: true, max: 512 }) nextCursor!: string | null;
}

export class CheckView {
  @BooleanField() allowed!: boolean;

  @EnumField(REASONS, {
    description: '`ROLE`: nothing gives it (403). `SCOPE`: the token has no such scope (403). `HIDDEN`: they may not even see the object (404). '
      + '`INACTIVE`: membership, account or token has ended (401).',
  })
  reason!: (typeof REASONS)[number];

  @EnumField(ROLES, { description: 'Of the person in the tenant.' }) role!: Role;
  @ObjectField(() => BoundView, { list: true, description: 'Bindings that give it.' }) bindings!: BoundView[];
}

export class HeldBindingView extends BindingView {
  @BooleanField({ description: 'It has not run out.' }) live!: boolean;
  @ListField('text', { max: 100, description: 'What it gives on its object.' }) permissions!: readonly string[];
}

export class HoldingsView extends PersonView {
  @BooleanField({ description: 'Of membership and account; otherwise nothing of this can be used.' }) active!: boolean;
  @ListField('text', { max: 100, description: 'Everywhere in the tenant.' }) permissions!: readonly string[];
  @ObjectField(() => HeldBindingView, { list: true }) bindings!: HeldBindingView[];
  @TextField({ nullable: true, max: 512, description: 'Of the bindings.' }) nextCursor!: string | null;
}

/* Between the two */

export function questionOf({ permission, groupId, deviceId }: WhoCanQuery | CheckQuery): Question {
  return { permission, ...(groupId === undefined ? {} : { groupId }), ...(deviceId === undefined ? {} : { deviceId }) };
}

export function viewAble({ items, nextCursor }: Page<Able>): AblePage {
  return {
    items: items.map(({ person, verdict, tokens }) => ({
      ...viewPerson(person),
      by: verdict.by === 'tenant' ? 'TENANT_ROLE' : 'BINDING',
      bindings: boundOf(verdict),
      tokens: tokens.map(({ id, name, expiresAt }) => ({ id, name, expiresAt: expiresAt.toISOString() })),
    })),
    nextCursor,
  };
}

export function viewCheck({ person, verdict }: Answer): CheckView {
  const { role } = person;
  if (!verdict.allowed) {
    const reasons = { scope: 'SCOPE', role: 'ROLE', hidden: 'HIDDEN', inactive: 'INACTIVE' } as const;
    return { allowed: false, reason: reasons[verdict.why], role, bindings: [] };
  }
  return { allowed: true, reason: verdict.by === 'tenant' ? 'TENANT_ROLE' : 'BINDING', role, bindings: boundOf(verdict) };
}

export function viewHoldings({ person, permissions, bindings }: Holdings): HoldingsView {
  return {
    ...viewPerson(person),
    active: person.active,
    permissions,
    bindings: bindings.items.map(({ live, permissions: given, ...binding }) => ({ ...viewBinding(binding), live, permissions: given })),
    nextCursor: bindings.nextCursor,
  };
}

function viewPerson({ id, email, name, role }: Standing): PersonView {
  return { id, email, name, role };
}

/** Each binding once: a device in two groups of one tree is reached by it on two ways. */
function boundOf(verdict: Verdict<Reach> & { readonly allowed: true }): BoundView[] {
  if (verdict.by === 'tenant') return [];
  const nearestFirst = [...verdict.bindings].sort((a, b) => a.path.length - b.path.length);
  return nearestFirst
    .filter(({ bindingId }, place) => nearestFirst.findIndex((other) => other.bindingId === bindingId) === place)
    .map(({ bindingId, role, boundTo: { kind, id }, path }) => ({
      bindingId, role, groupId: kind === 'group' ? id : null, deviceId: kind === 'device' ? id : null, path: [...path],
    }));
}
