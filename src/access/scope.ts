import { Permission } from './permission.js';

/** What a scope of an access token says in words of the REST API: a collection and what is done to it. */
export interface ScopeName {
  readonly entityType: string;
  readonly operation: string;
}

/** A permission on everything (`*`), or on the object whose id stands in the path. */
export interface ScopedRight {
  readonly permission: Permission;
  readonly entityId: string;
}

export const EVERYTHING = '*';

/** Collections whose name is not simply the plural of the permission's resource. */
const COLLECTIONS: Readonly<Record<string, string>> = {
  'services.account': 'service-accounts',
  'audit.log': 'audit',
  'shadow.state': 'shadow',
  'ota.rollout': 'ota',
  'pki.certificate': 'certs',
  'access.binding': 'role-bindings',
  'certs.authority': 'authorities',
};

/** Permissions that an access token can bear: all but the platform's, since a token is bound to one tenant. */
export const SCOPE_PERMISSIONS: readonly Permission[] = Object.values(Permission).filter(
  (permission) => !permission.startsWith('platform.'),
);

/** The one scope that stands for a permission. */
export function scopeNameOf(permission: Permission): ScopeName {
  const [service = '', resource = '', operation = ''] = permission.split('.');
  return { entityType: COLLECTIONS[`${service}.${resource}`] ?? `${resource}s`, operation };
}

const BY_NAME = new Map(SCOPE_PERMISSIONS.map((permission) => [keyOf(scopeNameOf(permission)), permission]));

/** The permission for which a scope stands, `null` if it stands for none. */
export function permissionOfScope(name: ScopeName): Permission | null {
  return BY_NAME.get(keyOf(name)) ?? null;
}

function keyOf({ entityType, operation }: ScopeName): string {
  return `${entityType}:${operation}`;
}
