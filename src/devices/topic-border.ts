import { parseFilter } from './topic.js';

/** The root that a filter stays within. A device or group must still be shown to belong to the tenant. */
export type TenantRoot =
  | { readonly kind: 'device'; readonly id: string }
  /** The device that the rule is rendered for: `{prefix}/${device.id}/…`. */
  | { readonly kind: 'own-device' }
  | { readonly kind: 'group'; readonly id: string }
  | { readonly kind: 'tenant' };

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/**
 * The one root of a tenant that holds every topic of `filter`, or null: then the filter is wider than a tenant may
 * write. `filter` may hold rule variables; as a level of a root only a whole `${device.id}` or `${tenant.id}` counts.
 *
 * Roots: `{prefix}/{deviceId}/#`, `{prefix}/$group/{groupId}/#`, `{prefix}/$broadcast/{tenantId}/#`,
 * `verified/{tenantId}/#`, `t/{tenantId}/#`. Their levels are all literal, so a filter lies within one exactly if
 * it begins with the same levels, wildcards excluded.
 */
export function tenantRootOf(filter: string, home: { prefix: string; tenantId: string }): TenantRoot | null {
  const levels = parseFilter(filter)?.levels;
  if (levels === undefined) return null;
  const isTenant = (level: string | undefined): boolean => level === home.tenantId || level === '${tenant.id}';
  if ((levels[0] === 'verified' || levels[0] === 't') && isTenant(levels[1])) return { kind: 'tenant' };

  const prefix = home.prefix.split('/');
  if (!prefix.every((level, index) => levels[index] === level)) return null;
  const first = levels[prefix.length];
  const second = levels[prefix.length + 1];
  if (first === '$broadcast') return isTenant(second) ? { kind: 'tenant' } : null;
  if (first === '$group') return second !== undefined && UUID.test(second) ? { kind: 'group', id: second } : null;
  if (first === '${device.id}') return { kind: 'own-device' };
  return first !== undefined && UUID.test(first) ? { kind: 'device', id: first } : null;
}
