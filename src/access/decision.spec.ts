import { randomUUID } from 'node:crypto';
import { decide, decideList, rolesToBind, type ObjectKind, type Standpoint } from './decision.js';
import { BINDING_BUNDLES, BINDING_ROLES, Permission, PLATFORM_BUNDLES, rightsOf, ROLES, type BindingRole } from './permission.js';
import { EVERYTHING, SCOPE_PERMISSIONS, type ScopedRight } from './scope.js';

const IDS = [randomUUID(), randomUUID()];
const KINDS: readonly ObjectKind[] = ['device', 'group'];
const SETS: readonly (readonly BindingRole[])[] = [[], ...BINDING_ROLES.map((role) => [role]), ['VIEWER', 'ADMIN']];
const as = (roles: readonly BindingRole[]) => roles.map((role) => ({ role }));

/** Every permission of a tenant, on every kind of object, by every role in the tenant, with every choice of bindings. */
function everyCase(see: (permission: Permission, kind: ObjectKind, tenantWide: Standpoint['tenantWide'], bound: readonly BindingRole[]) => void): void {
  for (const permission of SCOPE_PERMISSIONS) for (const kind of KINDS) for (const role of ROLES) for (const bound of SETS) see(permission, kind, rightsOf(role, null), bound);
}

describe('the decision', () => {
  it('gives an access token nothing that its owner has not, and nothing without a scope on this very object', () => {
    everyCase((permission, kind, tenantWide, bound) => {
      const target = { kind, id: IDS[0] };
      const own = decide(permission, target, { tenantWide, scopes: null }, as(bound));
      const by = (scopes: readonly ScopedRight[]) => decide(permission, target, { tenantWide, scopes }, as(bound));
      for (const entityId of [EVERYTHING, IDS[0] ?? '']) expect(by([{ permission, entityId }])).toEqual(own);
      expect(by([])).toEqual({ allowed: false, why: 'scope' });
      expect(by([{ permission, entityId: IDS[1] ?? '' }])).toEqual({ allowed: false, why: 'scope' });
    });
  });

  it('takes nothing away by a binding, and gives by it what the bundle says, on objects alone', () => {
    everyCase((permission, kind, tenantWide, bound) => {
      const standpoint = { tenantWide, scopes: null };
      const { allowed } = decide(permission, { kind, id: IDS[0] }, standpoint, as(bound));
      expect(allowed).toBe(tenantWide.has(permission) || bound.some((role) => BINDING_BUNDLES[role].includes(permission)));
      expect(decide(permission, { kind: null, id: IDS[0] }, standpoint, as(bound)).allowed).toBe(tenantWide.has(permission));
    });
  });

  it('hides an object from who may not see it, and from nobody else', () => {
    everyCase((permission, kind, tenantWide, bound) => {
      const seeing = kind === 'device' ? Permission.DevicesRead : Permission.GroupsRead;
      const verdict = decide(permission, { kind, id: IDS[0] }, { tenantWide, scopes: null }, as(bound));
      if (!verdict.allowed) expect(verdict.why === 'hidden').toBe(!tenantWide.has(seeing) && bound.length === 0);
    });
  });

  it('lets nobody bind or be bound what belongs to the tenant or the platform', () => {
    const bindable = SCOPE_PERMISSIONS.filter((permission) => rolesToBind(permission).length > 0);
    for (const permission of [Permission.UsersCreate, Permission.BindingsWrite, Permission.RulesCreate, Permission.GroupsDelete, Permission.AuditRead, Permission.DevicesCreate]) {
      expect(bindable).not.toContain(permission);
    }
    for (const permission of Object.values(PLATFORM_BUNDLES).flat()) expect(rolesToBind(permission)).toEqual([]);
    expect(decideList(Permission.UsersRead, { tenantWide: rightsOf('MEMBER', null), scopes: null })).toBe('refused');
    expect(decideList(Permission.DevicesRead, { tenantWide: rightsOf('MEMBER', null), scopes: null })).toBe('own');
    expect(decideList(Permission.DevicesRead, { tenantWide: rightsOf('VIEWER', null), scopes: null })).toBe('all');
    expect(decideList(Permission.DevicesRead, { tenantWide: rightsOf('VIEWER', null), scopes: [{ permission: Permission.DevicesRead, entityId: IDS[0] ?? '' }] })).toBe('refused');
  });
});
