import { BINDING_BUNDLES, Permission, rightsOf, type BindingRole } from './permission.js';
import type { Principal } from './principal.js';
import { EVERYTHING, type ScopedRight } from './scope.js';

/** What a role can be bound to. */
export type ObjectKind = 'device' | 'group';

/** What is to be done something to. */
export interface Target {
  /** `null`: the tenant as a whole, or what no binding can reach. */
  readonly kind: ObjectKind | null;
  /** Of the object; a scope of an access token on one object counts there only. */
  readonly id: string | undefined;
}

/** Whose rights are asked for. */
export interface Standpoint {
  /** What the account may do everywhere in the tenant, before a token narrows it. */
  readonly tenantWide: ReadonlySet<Permission>;
  /** Of the access token; `null` for a person, whom nothing narrows. */
  readonly scopes: readonly ScopedRight[] | null;
}

export type Verdict<B> =
  | { readonly allowed: true; readonly by: 'tenant' }
  | { readonly allowed: true; readonly by: 'binding'; readonly bindings: readonly B[] }
  /** `scope`: the token lacks it, whatever its owner has. `hidden`: the caller may not even know that the object is there. */
  | { readonly allowed: false; readonly why: 'scope' | 'role' | 'hidden' };

/** To see an object is to have this permission on it. */
const SEEING: Readonly<Record<ObjectKind, Permission>> = { device: Permission.DevicesRead, group: Permission.GroupsRead };

/**
 * The one answer to "may they do this to that?": the guard's, and that of the routes which tell who may do what. Pure.
 * @param bindings live bindings of the account that reach the target; what was not looked up yet is none
 */
export function decide<B extends { readonly role: BindingRole }>(
  permission: Permission,
  target: Target,
  { tenantWide, scopes }: Standpoint,
  bindings: readonly B[],
): Verdict<B> {
  if (!within(scopes, permission, target.id)) return { allowed: false, why: 'scope' };
  if (tenantWide.has(permission)) return { allowed: true, by: 'tenant' };
  if (target.kind === null) return { allowed: false, why: 'role' };
  const granting = bindings.filter(({ role }) => BINDING_BUNDLES[role].includes(permission));
  if (granting.length > 0) return { allowed: true, by: 'binding', bindings: granting };
  const seeing = SEEING[target.kind];
  const seen = tenantWide.has(seeing) || bindings.some(({ role }) => BINDING_BUNDLES[role].includes(seeing));
  return { allowed: false, why: seen ? 'role' : 'hidden' };
}

/** Whether a list shows the caller all of the tenant's (`all`), those that bindings reach (`own`), or is refused. */
export function decideList(permission: Permission, { tenantWide, scopes }: Standpoint): 'all' | 'own' | 'refused' {
  if (!within(scopes, permission, undefined)) return 'refused';
  if (tenantWide.has(permission)) return 'all';
  return rolesToBind(permission).length > 0 ? 'own' : 'refused';
}

/** Roles that, bound to an object, give this permission on it. */
export function rolesToBind(permission: Permission): BindingRole[] {
  return (Object.keys(BINDING_BUNDLES) as BindingRole[]).filter((role) => BINDING_BUNDLES[role].includes(permission));
}

export function standpointOf({ role, platformRole, scopes }: Principal): Standpoint {
  return { tenantWide: rightsOf(role, platformRole), scopes: scopes ?? null };
}

function within(scopes: Standpoint['scopes'], permission: Permission, id: string | undefined): boolean {
  return scopes === null || scopes.some((scope) => scope.permission === permission && (scope.entityId === EVERYTHING || scope.entityId === id));
}
