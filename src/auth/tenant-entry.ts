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

/** `null`: to them another tenant does not exist. */
export function entryOf(platformRole: PlatformRole | null): TenantEntry | null {
  switch (platformRole) {
    case 'PLATFORM_ADMIN':
    case 'PLATFORM_OPERATOR_WRITE':
      return { role: 'ADMIN', permissions: rightsOf('ADMIN', platformRole), readsOnly: false };
    case 'PLATFORM_OPERATOR':
      return { role: 'VIEWER', permissions: new Set([...READS, ...rightsOf(null, platformRole)]), readsOnly: true };
    default:
      return null;
  }
}
