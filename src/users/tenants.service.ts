import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { Principal } from '../access/principal.js';
import { actorOf, SYSTEM_ACTOR, type AuditEventType } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { isUniqueViolation } from '../platform/database/database-errors.js';
import { Transactions, type Transaction } from '../platform/database/transactions.js';
import { decodeCursor, DEFAULT_PAGE, pageOf, type Page } from '../platform/http/paging.js';
import { isCanonicalUuid } from '../platform/http/uuid-param.js';
import { DEFAULT_SLUG, type Tenant, type TenantStatus } from './tenant.js';
import { TenantsRepository } from './tenants.repository.js';
import { usersError } from './users.errors.js';

/** Tenants as the platform plane sees them: made, renamed, read; what ends a tenant's trust is the room of life cycles. */
@Injectable()
export class TenantsService {
  private defaultId: Promise<string> | undefined;

  constructor(
    private readonly repository: TenantsRepository,
    private readonly transactions: Transactions,
    private readonly audit: AuditService,
  ) {}

  /** Id of `default`; it never changes, so it is read once. */
  defaultTenantId(): Promise<string> {
    this.defaultId ??= this.readDefault().catch((error: unknown) => {
      this.defaultId = undefined;
      throw error;
    });
    return this.defaultId;
  }

  find(id: string): Promise<Tenant | null> {
    return this.repository.byId(id);
  }

  /** @param name slug or id; an id goes before a slug that looks like one */
  async findByName(name: string): Promise<Tenant | null> {
    return (isCanonicalUuid(name) ? await this.repository.byId(name) : null) ?? this.repository.bySlug(name);
  }

  /** @throws TENANT_NOT_FOUND */
  async get(id: string): Promise<Tenant> {
    const tenant = await this.find(id);
    if (!tenant) throw usersError('TENANT_NOT_FOUND');
    return tenant;
  }

  async list(query: { limit?: number; cursor?: string }): Promise<Page<Tenant>> {
    const { limit = DEFAULT_PAGE, cursor } = query;
    const rows = await this.repository.page(limit + 1, decodeCursor(cursor));
    return pageOf(rows, limit, (row) => ({ at: row.at, id: row.id }), (row) => row);
  }

  /** @throws TENANT_SLUG_TAKEN */
  async create(actor: Principal, slug: string, name: string): Promise<Tenant> {
    const id = randomUUID();
    return this.transactions.run({ tenantId: id }, async (tx) => {
      if (!(await this.repository.insert(tx, id, slug, name))) throw usersError('TENANT_SLUG_TAKEN');
      await this.record(tx, actor, 'TENANT_CREATED', id, { slug, name });
      return this.lock(tx, id);
    });
  }

  /** @throws TENANT_NOT_FOUND, TENANT_SLUG_TAKEN, TENANT_IS_DEFAULT */
  async rename(actor: Principal, id: string, change: { slug?: string; name?: string }): Promise<Tenant> {
    return this.transactions.run({ tenantId: id }, async (tx) => {
      const before = await this.lock(tx, id);
      const { slug = before.slug, name = before.name } = change;
      if (slug !== before.slug && before.slug === DEFAULT_SLUG) throw usersError('TENANT_IS_DEFAULT');
      try {
        await this.repository.rename(tx, id, slug, name);
      } catch (error) {
        if (isUniqueViolation(error, 'tenants_slug_key')) throw usersError('TENANT_SLUG_TAKEN');
        throw error;
      }
      await this.record(tx, actor, 'TENANT_UPDATED', id, { from: { slug: before.slug, name: before.name }, to: { slug, name } });
      return this.lock(tx, id);
    });
  }

  /** As `get`, and nobody changes the tenant until the transaction ends. The scope must hold the tenant. @throws TENANT_NOT_FOUND */
  async lock(tx: Transaction, id: string): Promise<Tenant> {
    const tenant = await this.repository.lock(tx, id);
    if (!tenant) throw usersError('TENANT_NOT_FOUND');
    return tenant;
  }

  /** For the room of life cycles, which sees to what follows. The caller holds the lock. */
  async setStatus(tx: Transaction, id: string, status: TenantStatus, reason: string | null, deleteAfter: Date | null): Promise<Tenant> {
    await this.repository.setStatus(tx, id, status, reason, deleteAfter);
    return this.lock(tx, id);
  }

  /** Deletes tenants whose grace is over; answers their ids. Of several instances one does it. */
  async purgeDoomed(now: Date): Promise<string[]> {
    const purged: string[] = [];
    for (const id of await this.repository.doomed(now)) {
      if (!(await this.repository.purge(id, now))) continue;
      purged.push(id);
      await this.transactions.run({ tenantId: id }, (tx) =>
        this.audit.record(tx, { type: 'TENANT_DELETED', tenantId: id, actor: SYSTEM_ACTOR, details: { purged: true } }));
    }
    return purged;
  }

  private async record(tx: Transaction, actor: Principal, type: AuditEventType, tenantId: string, details: Record<string, unknown>): Promise<void> {
    await this.audit.record(tx, { type, tenantId, actor: actorOf(actor), details });
  }

  private async readDefault(): Promise<string> {
    const tenant = await this.repository.bySlug(DEFAULT_SLUG);
    if (!tenant) throw new Error(`there is no tenant "${DEFAULT_SLUG}": the migrations create it`);
    return tenant.id;
  }
}
