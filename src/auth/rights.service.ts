import { Injectable } from '@nestjs/common';
import { decide, type Target, type Verdict } from '../access/decision.js';
import { BINDING_BUNDLES, ROLE_BUNDLES, ROLES, rightsOf, type Permission, type Role } from '../access/permission.js';
import type { Principal, TenantPrincipal } from '../access/principal.js';
import { EVERYTHING } from '../access/scope.js';
import { DevicesService } from '../devices/devices.service.js';
import { GroupsService } from '../devices/groups.service.js';
import { ObjectRights } from '../devices/object-rights.service.js';
import type { Reach, RoleBinding } from '../devices/role-binding.js';
import { RoleBindingsService } from '../devices/role-bindings.service.js';
import { Clock } from '../platform/clock/clock.js';
import { Transactions, type Transaction } from '../platform/database/transactions.js';
import { decodeCursor, DEFAULT_PAGE, pageOf, type Page } from '../platform/http/paging.js';
import { platformError } from '../platform/problem/platform.errors.js';
import { usersError } from '../users/users.errors.js';
import { authError } from './auth.errors.js';
import { statusOf, type Pat } from './pat.js';
import { dottedScope } from './pat-scope.js';
import { PatUses } from './pat-uses.js';
import { PatsRepository } from './pats.repository.js';
import { RightsRepository, type Standing } from './rights.repository.js';

/** A permission, on an object or in the tenant as a whole. */
export interface Question {
  readonly permission: Permission;
  readonly groupId?: string;
  readonly deviceId?: string;
}

/** Somebody who may, and why. */
export interface Able {
  readonly person: Standing;
  readonly verdict: Verdict<Reach> & { readonly allowed: true };
  /** Their access tokens that may as well. */
  readonly tokens: readonly Pat[];
}

/** `INACTIVE`: neither session nor token of theirs is let in. Otherwise as the guard says it. */
export type Answer = { readonly person: Standing; readonly verdict: Verdict<Reach> | { readonly allowed: false; readonly why: 'inactive' } };

export interface Holdings {
  readonly person: Standing;
  /** Everywhere in the tenant. */
  readonly permissions: readonly Permission[];
  readonly bindings: Page<RoleBinding & { readonly live: boolean; readonly permissions: readonly Permission[] }>;
}

type Paging = { readonly limit?: number; readonly cursor?: string };

/**
 * Who can do what: the questions of whoever looks after a tenant, answered by the function by which the guard decides, from what the
 * guard would find at this moment. What the guard asks besides (a frozen tenant, a token's networks, CSRF) is not in it.
 */
@Injectable()
export class RightsService {
  constructor(
    private readonly transactions: Transactions,
    private readonly people: RightsRepository,
    private readonly pats: PatsRepository,
    private readonly uses: PatUses,
    private readonly objects: ObjectRights,
    private readonly bindings: RoleBindingsService,
    private readonly devices: DevicesService,
    private readonly groups: GroupsService,
    private readonly clock: Clock,
  ) {}

  /** @throws DEVICE_NOT_FOUND, GROUP_NOT_FOUND, VALIDATION_FAILED, CURSOR_INVALID */
  async whoCan(me: TenantPrincipal, question: Question, { limit = DEFAULT_PAGE, cursor }: Paging): Promise<Page<Able>> {
    const { permission } = question;
    const after = decodeCursor(cursor);
    const target = await this.target(me, question);
    const reaches = await this.reaching(me, null, target);
    await this.uses.flush();
    return this.in(me, async (tx) => {
      const roles = ROLES.filter((role) => ROLE_BUNDLES[role].includes(permission));
      const bound = reaches.filter(({ role }) => BINDING_BUNDLES[role].includes(permission)).map(({ userId }) => userId);
      const rows = await this.people.candidates(tx, roles, [...new Set(bound)], after, limit + 1);
      const page = pageOf(rows, limit, ({ at, id }) => ({ at, id }), (person) => person);
      const tokens = await this.bearing(tx, page.items.map(({ id }) => id), permission, target);
      const items = page.items.flatMap((person): Able[] => {
        const own = reaches.filter(({ userId }) => userId === person.id);
        const verdict = judge(person.role, permission, target, null, own);
        if (!verdict.allowed) return [];
        const able = tokens.filter((pat) => pat.userId === person.id && judge(person.role, permission, target, pat, own).allowed);
        return [{ person, verdict, tokens: able }];
      });
      return { items, nextCursor: page.nextCursor };
    });
  }

  /**
   * One person, or one access token of theirs.
   * @throws USER_NOT_FOUND, PAT_NOT_FOUND, DEVICE_NOT_FOUND, GROUP_NOT_FOUND, VALIDATION_FAILED
   */
  async check(me: TenantPrincipal, userId: string, patId: string | undefined, question: Question): Promise<Answer> {
    const target = await this.target(me, question);
    const reaches = await this.reaching(me, userId, target);
    await this.uses.flush();
    return this.in(me, async (tx) => {
      const person = await this.person(tx, userId);
      const pat = patId === undefined ? null : await this.pats.find(tx, userId, patId);
      if (patId !== undefined && pat === null) throw authError('PAT_NOT_FOUND');
      const active = person.active && (pat === null || statusOf(pat, this.clock.now()) === 'ACTIVE');
      if (!active) return { person, verdict: { allowed: false, why: 'inactive' } };
      return { person, verdict: judge(person.role, question.permission, target, pat, reaches) };
    });
  }

  /** @throws USER_NOT_FOUND, CURSOR_INVALID */
  async holdings({ tenantId }: TenantPrincipal, userId: string, paging: Paging): Promise<Holdings> {
    const person = await this.transactions.run({ tenantId }, (tx) => this.person(tx, userId));
    const { items, nextCursor } = await this.bindings.of(tenantId, { ...paging, userId });
    const now = this.clock.now();
    return {
      person,
      permissions: [...rightsOf(person.role, null)],
      bindings: {
        items: items.map((binding) => ({
          ...binding,
          live: binding.expiresAt === null || binding.expiresAt.getTime() > now,
          permissions: BINDING_BUNDLES[binding.role],
        })),
        nextCursor,
      },
    };
  }

  /** What the caller has, in the tenant of the session. @throws PERMISSION_DENIED (an account without a tenant) */
  async own({ tenantId, ...me }: Principal, paging: Paging): Promise<Holdings> {
    if (tenantId === null) throw authError('PERMISSION_DENIED', { detail: 'The account belongs to no tenant.' });
    return this.holdings({ ...me, tenantId }, me.id, paging);
  }

  private async target(me: TenantPrincipal, { permission, groupId, deviceId }: Question): Promise<Target> {
    if (groupId !== undefined && deviceId !== undefined) throw invalid('groupId', 'ask about one group or one device');
    if (groupId !== undefined) {
      await this.groups.show(me, groupId);
      return { kind: 'group', id: groupId };
    }
    if (deviceId === undefined) return { kind: null, id: undefined };
    if (permission.startsWith('devices.group.')) throw invalid('permission', 'nobody has this on a device: name a group');
    await this.devices.show(me, deviceId);
    return { kind: 'device', id: deviceId };
  }

  private async reaching({ tenantId }: TenantPrincipal, userId: string | null, { kind, id }: Target): Promise<Reach[]> {
    return kind === null || id === undefined ? [] : this.objects.reaching({ tenantId, userId }, kind, [id]);
  }

  private async bearing(tx: Transaction, userIds: readonly string[], permission: Permission, { id }: Target): Promise<Pat[]> {
    const wanted = [EVERYTHING, ...(id === undefined ? [] : [id])].map((entityId) => dottedScope({ permission, entityId }));
    const now = this.clock.now();
    return (await this.pats.bearing(tx, userIds, wanted, new Date(now))).filter((pat) => statusOf(pat, now) === 'ACTIVE');
  }

  private async person(tx: Transaction, userId: string): Promise<Standing> {
    const person = await this.people.find(tx, userId);
    if (person === null) throw usersError('USER_NOT_FOUND');
    return person;
  }

  private in<T>({ tenantId }: TenantPrincipal, work: (tx: Transaction) => Promise<T>): Promise<T> {
    return this.transactions.run({ tenantId }, work);
  }
}

function judge(role: Role, permission: Permission, target: Target, pat: Pat | null, reaches: readonly Reach[]): Verdict<Reach> {
  return decide(permission, target, { tenantWide: rightsOf(role, null), scopes: pat?.scopes ?? null }, reaches);
}

function invalid(path: string, message: string): Error {
  return platformError('VALIDATION_FAILED', { errors: [{ path, message }] });
}
