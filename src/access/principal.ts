import type { Permission, PlatformRole, Role } from './permission.js';
import type { ScopedRight } from './scope.js';

/** Who makes a request, as the guard found out; looked up for this request, never believed from a token. */
export interface Principal {
  /** `pat`: a personal access token, which acts for the account of `id`, within its scopes. */
  readonly kind: 'user' | 'pat' | 'device' | 'provisioner';
  /** Id of the account or device, or `admin-key`. */
  readonly id: string;
  /** `null`: an account without a membership; it has no permissions. */
  readonly tenantId: string | null;
  readonly role: Role | null;
  readonly platformRole: PlatformRole | null;
  /**
   * Everywhere in the tenant, as far as a token's scopes reach. What somebody has on single objects by role bindings is never in here:
   * it counts for the object that the guard, or `ObjectRights`, was asked about.
   */
  readonly permissions: ReadonlySet<Permission>;
  /** Of a `pat`. */
  readonly scopes?: readonly ScopedRight[];
  readonly sessionId: string | null;
  /** How the credential travelled: a cookie needs a CSRF token on writes. */
  readonly credential: 'bearer' | 'cookie' | 'basic' | 'certificate' | 'admin-key';
  /** Of a device: the client secret or certificate that proved it; what it gets with it descends from it. Of a `pat`: the id of the token. */
  readonly credentialId?: string;
  /** The tenant is frozen: it may be read, and nothing in it changes. */
  readonly tenantFrozen?: boolean;
}

/** A principal that acts inside a tenant, as every route with a permission has. */
export type TenantPrincipal = Principal & { readonly tenantId: string };
