import { rightsOf, ROLE_BUNDLES, type Permission, type PlatformRole, type Role } from '../access/permission.js';

/** What somebody of the platform plane may do in a tenant that is not their own. */
export interface TenantEntry {
  readonly role: Role;
  readonly permissions: ReadonlySet<Permission>;
  /** Only safe methods, and only through the database role that can read and nothing else. */
  readonly readsOnly: boolean;
}

/** All that can be read in a tenant; exports, which leave a trace in it, are none of it. */
const READS: readonly Permission[] = ROLE_BUNDLES.ADMIN.filter((permission) => permission.endsWith('.read'));

/** How a tenant is entered: to act in it (`X-Tenant`), or to look (`X-Read-Tenant`). */
export type Entering = 'act' | 'read';

/** `null`: to them another tenant does not exist. */
export function entryOf(platformRole: PlatformRole | null, entering: Entering): TenantEntry | null {
  if (platformRole === null) return null;
  if (entering === 'read') return { role: 'VIEWER', permissions: new Set([...READS, ...rightsOf(null, platformRole)]), readsOnly: true };
  if (platformRole === 'PLATFORM_OPERATOR') return null;
  return { role: 'ADMIN', permissions: rightsOf('ADMIN', platformRole), readsOnly: false };
}

/** What somebody of the platform plane may do in a tenant that is not their own, however they entered it. */
export function entersFor(platformRole: PlatformRole | null, permission: Permission): boolean {
  return (['act', 'read'] as const).some((entering) => entryOf(platformRole, entering)?.permissions.has(permission) ?? false);
}
