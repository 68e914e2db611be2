import { Injectable } from '@nestjs/common';
import { decide, rolesToBind, standpointOf, type ObjectKind, type Verdict } from '../access/decision.js';
import type { Permission } from '../access/permission.js';
import type { TenantPrincipal } from '../access/principal.js';
import { Clock } from '../platform/clock/clock.js';
import type { Reach, Viewer } from './role-binding.js';
import { RoleBindingsRepository } from './role-bindings.repository.js';

/** What people may do on single groups and devices. Nothing is cached: a binding that ends is gone on the next request. */
@Injectable()
export class ObjectRights {
  constructor(
    private readonly bindings: RoleBindingsRepository,
    private readonly clock: Clock,
  ) {}

  /**
   * Live bindings that reach the objects, in one statement.
   * @param of `userId` null: of everybody in the tenant
   * @param ids canonical UUIDs; one that nobody has is reached by nothing
   */
  reaching(of: { tenantId: string; userId: string | null }, kind: ObjectKind, ids: readonly string[]): Promise<Reach[]> {
    return this.bindings.reaching(of.tenantId, of.userId, kind, ids, new Date(this.clock.now()));
  }

  /** Of objects that a request names beside the one in its path: what may be done to each. */
  async verdicts(me: TenantPrincipal, permission: Permission, kind: ObjectKind, ids: readonly string[]): Promise<Map<string, Verdict<Reach>>> {
    const reaches = await this.reaching({ tenantId: me.tenantId, userId: me.id }, kind, ids);
    const standpoint = standpointOf(me);
    return new Map(ids.map((id) =>
      [id, decide(permission, { kind, id }, standpoint, reaches.filter(({ objectId }) => objectId === id))]));
  }

  /** To whose objects a list must be narrowed; nothing if the caller may see all of the tenant's. */
  viewer(me: TenantPrincipal, permission: Permission): Viewer | undefined {
    if (me.permissions.has(permission)) return undefined;
    return { userId: me.id, roles: rolesToBind(permission), at: new Date(this.clock.now()) };
  }
}
