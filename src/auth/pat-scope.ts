import type { Permission } from '../access/permission.js';
import { EVERYTHING, permissionOfScope, SCOPE_PERMISSIONS, scopeNameOf, type ScopedRight } from '../access/scope.js';
import { isCanonicalUuid } from '../platform/http/uuid-param.js';

/** One right of a personal access token: a permission on everything (`*`) or on the object whose id stands in the path. */
export type PatScope = ScopedRight;

/** A scope as the API shows it. */
export interface ShownScope {
  readonly entity_type: string;
  readonly operation: string;
  readonly entity_id: string;
  readonly optional_domain_id: string;
}

const DOTTED = /^([a-z.]+)(?::([0-9a-f-]{36}))?$/;
const MEMBERS: readonly string[] = ['entity_type', 'operation', 'entity_id', 'optional_domain_id'];

/**
 * Reads a scope in either form: an object, or `service.resource.verb`, with `:id` for one object.
 * @param tenant id and slug of the one tenant that `optional_domain_id` may name
 * @returns a sentence instead, if it is none
 */
export function readScope(value: unknown, tenant: { readonly id: string; readonly slug: string }): PatScope | string {
  if (typeof value === 'string') return readDotted(value);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'must be an object or service.resource.verb';
  const given = value as Readonly<Record<string, unknown>>;
  const unknown = Object.keys(given).find((member) => !MEMBERS.includes(member));
  if (unknown !== undefined) return 'has a member that no scope has';
  const { entity_type: entityType, operation, entity_id: entityId, optional_domain_id: domain } = given;
  if (domain !== undefined && domain !== '' && domain !== tenant.id && domain !== tenant.slug) {
    return 'names another tenant than the one that the token is bound to';
  }
  if (typeof entityType !== 'string' || typeof operation !== 'string') return 'must have entity_type and operation';
  const permission = permissionOfScope({ entityType, operation });
  if (permission === null) return 'names a pair of entity_type and operation that does not exist';
  return withEntity(permission, entityId);
}

function readDotted(text: string): PatScope | string {
  const [, name, entityId = EVERYTHING] = DOTTED.exec(text) ?? [];
  const permission = SCOPE_PERMISSIONS.find((candidate) => candidate === name);
  return permission === undefined ? 'is no permission that a token can bear' : withEntity(permission, entityId);
}

function withEntity(permission: Permission, entityId: unknown): PatScope | string {
  if (typeof entityId !== 'string' || !(entityId === EVERYTHING || isCanonicalUuid(entityId))) return 'must have an entity_id: an id or *';
  return { permission, entityId };
}

/** The dotted form, which is also how scopes are kept. */
export function dottedScope({ permission, entityId }: PatScope): string {
  return entityId === EVERYTHING ? permission : `${permission}:${entityId}`;
}

/** A kept scope; `null` for a permission that no longer exists, which grants nothing. */
export function keptScope(text: string): PatScope | null {
  const scope = readDotted(text);
  return typeof scope === 'string' ? null : scope;
}

export function showScope({ permission, entityId }: PatScope, tenantId: string): ShownScope {
  const { entityType, operation } = scopeNameOf(permission);
  return { entity_type: entityType, operation, entity_id: entityId, optional_domain_id: tenantId };
}

/**
 * What a token may do in one request: its scopes, as far as its owner has these rights now.
 * @param pathId the `{id}` of the request's path; a scope on one object counts there only
 */
export function grantedBy(
  scopes: readonly PatScope[],
  rights: ReadonlySet<Permission>,
  pathId: string | undefined,
): ReadonlySet<Permission> {
  const granted = scopes.filter(
    ({ permission, entityId }) => rights.has(permission) && (entityId === EVERYTHING || entityId === pathId),
  );
  return new Set(granted.map(({ permission }) => permission));
}
