import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { mayBind, Permission, type BindingRole } from '../access/permission.js';
import type { TenantPrincipal } from '../access/principal.js';
import { actorOf } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { Clock } from '../platform/clock/clock.js';
import { Transactions, type Transaction } from '../platform/database/transactions.js';
import { decodeCursor, DEFAULT_PAGE, pageOf, type Page } from '../platform/http/paging.js';
import { platformError } from '../platform/problem/platform.errors.js';
import { devicesError } from './devices.errors.js';
import type { RoleBinding } from './role-binding.js';
import { RoleBindingsRepository, type BindingFilter } from './role-bindings.repository.js';

export interface NewBinding {
  readonly userId: string;
  readonly role: BindingRole;
  readonly groupId?: string;
  readonly deviceId?: string;
  readonly expiresAt?: Date;
}

export interface BindingQuery extends BindingFilter {
  readonly limit?: number;
  readonly cursor?: string;
}

/** Who has which role on which group or device: given and taken by those who may do so in the whole tenant, and by nobody else. */
@Injectable()
export class RoleBindingsService {
  constructor(
    private readonly transactions: Transactions,
    private readonly bindings: RoleBindingsRepository,
    private readonly audit: AuditService,
    private readonly clock: Clock,
  ) {}

  /**
   * Holds from the person's next request on.
   * @throws VALIDATION_FAILED, BINDING_EXCEEDS_OWN, BINDING_EXISTS, BINDING_USER_UNKNOWN, GROUP_NOT_FOUND, DEVICE_NOT_FOUND
   */
  create(me: TenantPrincipal, { userId, role, groupId, deviceId, expiresAt }: NewBinding): Promise<RoleBinding> {
    const now = new Date(this.clock.now());
    if ((groupId === undefined) === (deviceId === undefined)) throw invalid('groupId', 'a role is bound to one group or to one device');
    if (expiresAt !== undefined && !(expiresAt > now)) throw invalid('expiresAt', 'expiresAt must be a time to come');
    if (!mayBind(me.permissions, role) && !me.permissions.has(Permission.PlatformMembersWrite)) {
      throw devicesError('BINDING_EXCEEDS_OWN', { detail: `The role ${role} allows more than you may.` });
    }
    const id = randomUUID();
    return this.in(me, async (tx) => {
      await this.bindings.insert(tx, {
        id, userId, role, groupId: groupId ?? null, deviceId: deviceId ?? null, createdBy: me.id, expiresAt: expiresAt ?? null,
      }, now);
      const binding = await this.get(tx, id);
      await this.record(tx, me, 'ROLE_BINDING_CREATED', binding);
      return binding;
    });
  }

  /** Oldest first, those that have run out among them. @throws CURSOR_INVALID */
  list(me: TenantPrincipal, query: BindingQuery): Promise<Page<RoleBinding>> {
    return this.of(me.tenantId, query);
  }

  /** As `list`, for rooms above. @throws CURSOR_INVALID */
  of(tenantId: string, { limit = DEFAULT_PAGE, cursor, ...filter }: BindingQuery): Promise<Page<RoleBinding>> {
    const after = decodeCursor(cursor);
    return this.transactions.run({ tenantId }, async (tx) =>
      pageOf(await this.bindings.page(tx, filter, after, limit + 1), limit, ({ at, id }) => ({ at, id }), (binding) => binding));
  }

  /** Holds from the person's next request on. @throws BINDING_NOT_FOUND */
  remove(me: TenantPrincipal, id: string): Promise<void> {
    return this.in(me, async (tx) => {
      const binding = await this.bindings.delete(tx, id);
      if (binding === null) throw devicesError('BINDING_NOT_FOUND');
      await this.record(tx, me, 'ROLE_BINDING_DELETED', binding);
    });
  }

  private in<T>(me: TenantPrincipal, work: (tx: Transaction) => Promise<T>): Promise<T> {
    return this.transactions.run({ tenantId: me.tenantId }, work);
  }

  private async get(tx: Transaction, id: string): Promise<RoleBinding> {
    const binding = await this.bindings.find(tx, id);
    if (binding === null) throw devicesError('BINDING_NOT_FOUND');
    return binding;
  }

  private record(tx: Transaction, me: TenantPrincipal, type: 'ROLE_BINDING_CREATED' | 'ROLE_BINDING_DELETED', binding: RoleBinding): Promise<void> {
    const { id, userId, role, groupId, deviceId, expiresAt } = binding;
    const details = { bindingId: id, role, ...(groupId === null ? {} : { groupId }), ...(expiresAt === null ? {} : { expiresAt }) };
    return this.audit.record(tx, { type, tenantId: me.tenantId, userId, deviceId, actor: actorOf(me), details });
  }
}

function invalid(path: string, message: string): Error {
  return platformError('VALIDATION_FAILED', { errors: [{ path, message }] });
}
