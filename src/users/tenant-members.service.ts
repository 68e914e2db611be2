import { Injectable } from '@nestjs/common';
import type { Role } from '../access/permission.js';
import type { Principal, TenantPrincipal } from '../access/principal.js';
import { actorOf } from '../audit/audit-event.js';
import { AuditStream } from '../audit/audit.stream.js';
import { decodeCursor, DEFAULT_PAGE, pageOf, type Page } from '../platform/http/paging.js';
import { TenantsRepository } from './tenants.repository.js';
import { TenantsService } from './tenants.service.js';
import type { Member } from './user.js';
import { UsersService } from './users.service.js';

/** Members of any tenant, for the platform plane: read by the reader role, changed as in the tenant itself. */
@Injectable()
export class TenantMembersService {
  constructor(
    private readonly tenants: TenantsService,
    private readonly repository: TenantsRepository,
    private readonly users: UsersService,
    private readonly stream: AuditStream,
  ) {}

  /** A look into a tenant is told to it. @throws TENANT_NOT_FOUND */
  async list(actor: Principal, tenantId: string, query: { limit?: number; cursor?: string }): Promise<Page<Member>> {
    await this.tenants.get(tenantId);
    const { limit = DEFAULT_PAGE, cursor } = query;
    const rows = await this.repository.members(tenantId, limit + 1, decodeCursor(cursor));
    const details = { reason: `${actor.platformRole} read the members`, platformRole: actor.platformRole };
    this.stream.note({ type: 'TENANT_ENTERED', tenantId, actor: actorOf(actor), details });
    return pageOf(rows, limit, (row) => ({ at: row.since, id: row.id }), (row) => row);
  }

  /** @throws TENANT_NOT_FOUND, USER_NOT_FOUND, MEMBER_EXISTS */
  async add(actor: Principal, tenantId: string, email: string, role: Role): Promise<Member> {
    return this.users.addExisting(await this.inside(actor, tenantId), email, role);
  }

  /** @throws TENANT_NOT_FOUND, USER_NOT_FOUND, LAST_ADMIN */
  async changeRole(actor: Principal, tenantId: string, userId: string, role: Role): Promise<Member> {
    return this.users.changeRole(await this.inside(actor, tenantId), userId, role);
  }

  /** @throws TENANT_NOT_FOUND, USER_NOT_FOUND, LAST_ADMIN */
  async remove(actor: Principal, tenantId: string, userId: string): Promise<void> {
    await this.users.remove(await this.inside(actor, tenantId), userId);
  }

  private async inside(actor: Principal, tenantId: string): Promise<TenantPrincipal> {
    const { id } = await this.tenants.get(tenantId);
    return { ...actor, tenantId: id };
  }
}
