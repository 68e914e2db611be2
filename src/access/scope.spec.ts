import { Permission } from './permission.js';
import { permissionOfScope, SCOPE_PERMISSIONS, scopeNameOf } from './scope.js';

describe('the table of scopes', () => {
  it('maps every permission of a tenant to one scope and back', () => {
    const names = SCOPE_PERMISSIONS.map((permission) => JSON.stringify(scopeNameOf(permission)));
    expect(new Set(names).size).toBe(SCOPE_PERMISSIONS.length);
    for (const permission of SCOPE_PERMISSIONS) expect(permissionOfScope(scopeNameOf(permission))).toBe(permission);
  });

  it('names collections as the paths do', () => {
    expect(scopeNameOf(Permission.DevicesRead)).toEqual({ entityType: 'devices', operation: 'read' });
    expect(scopeNameOf(Permission.ServiceAccountsCreate)).toEqual({ entityType: 'service-accounts', operation: 'create' });
    expect(scopeNameOf(Permission.AuditRead)).toEqual({ entityType: 'audit', operation: 'read' });
  });

  it('has no word for what belongs to the platform, nor for what nobody may', () => {
    expect(SCOPE_PERMISSIONS.some((permission) => permission.startsWith('platform.'))).toBe(false);
    expect(permissionOfScope({ entityType: 'rules', operation: 'write' })).toBeNull();
    expect(permissionOfScope({ entityType: 'devices', operation: '*' })).toBeNull();
  });
});
