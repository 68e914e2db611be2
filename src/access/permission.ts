/**
 * Everything that can be allowed, as `service.resource.verb`: one grammar for people, access tokens and service clients.
 * `docs/permissions.md` is printed from this file.
 */
export enum Permission {
  UsersRead = 'users.user.read',
  UsersCreate = 'users.user.create',
  UsersUpdate = 'users.user.update',
  UsersDisable = 'users.user.disable',
  DevicesRead = 'devices.device.read',
  DevicesCreate = 'devices.device.create',
  DevicesUpdate = 'devices.device.update',
  DevicesDelete = 'devices.device.delete',
  DevicesLifecycle = 'devices.device.lifecycle',
  DevicesExplain = 'devices.device.explain',
  DeviceTokenRotate = 'devices.token.rotate',
  DeviceSecretRotate = 'devices.secret.rotate',
  CredentialsRead = 'devices.credential.read',
  CredentialsRevoke = 'devices.credential.revoke',
  CertificatesRead = 'certs.certificate.read',
  CertificatesIssue = 'certs.certificate.issue',
  CertificatesRevoke = 'certs.certificate.revoke',
  AuthoritiesManage = 'certs.authority.manage',
  GroupsRead = 'devices.group.read',
  GroupsCreate = 'devices.group.create',
  GroupsUpdate = 'devices.group.update',
  GroupsDelete = 'devices.group.delete',
  RulesRead = 'devices.rule.read',
  RulesCreate = 'devices.rule.create',
  RulesDelete = 'devices.rule.delete',
  ServiceAccountsRead = 'services.account.read',
  ServiceAccountsCreate = 'services.account.create',
  ServiceAccountsUpdate = 'services.account.update',
  ServiceAccountsRotate = 'services.account.rotate',
  ServiceAccountsDisable = 'services.account.disable',
  AuditRead = 'audit.log.read',
  AuditExport = 'audit.log.export',
  CommandsSend = 'commands.command.send',
  CommandsRead = 'commands.command.read',
  ShadowRead = 'shadow.state.read',
  ShadowWrite = 'shadow.state.write',
  OtaTrigger = 'ota.rollout.trigger',
  OtaRollback = 'ota.rollout.rollback',
  MessagesVerify = 'messages.message.verify',
  BindingsRead = 'access.binding.read',
  BindingsWrite = 'access.binding.write',
  PlatformRules = 'platform.rule.write',
  PlatformAuditRead = 'platform.audit.read',
  PlatformTenantsRead = 'platform.tenant.read',
  PlatformTenantsWrite = 'platform.tenant.write',
  PlatformTenantsFreeze = 'platform.tenant.freeze',
  PlatformMembersWrite = 'platform.member.write',
  PlatformAuthoritiesWrite = 'platform.authority.write',
}

/** Of a membership. MEMBER may do nothing by itself: what such a person may do comes from bindings. */
export const ROLES = ['ADMIN', 'OPERATOR', 'VIEWER', 'MEMBER'] as const;
export type Role = (typeof ROLES)[number];

/** What can be bound to a group or a device. */
export const BINDING_ROLES = ['ADMIN', 'OPERATOR', 'VIEWER'] as const;
export type BindingRole = (typeof BINDING_ROLES)[number];

export type PlatformRole = 'PLATFORM_ADMIN' | 'PLATFORM_OPERATOR' | 'PLATFORM_OPERATOR_WRITE';

const VIEWER: readonly Permission[] = [
  Permission.DevicesRead,
  Permission.DevicesExplain,
  Permission.CredentialsRead,
  Permission.CertificatesRead,
  Permission.GroupsRead,
  Permission.RulesRead,
  Permission.CommandsRead,
  Permission.ShadowRead,
];

const OPERATOR: readonly Permission[] = [
  ...VIEWER,
  Permission.DeviceTokenRotate,
  Permission.CommandsSend,
  Permission.ShadowWrite,
  Permission.OtaTrigger,
  Permission.AuditRead,
];

const ADMIN: readonly Permission[] = Object.values(Permission).filter((permission) => !permission.startsWith('platform.'));

/** What a membership with this role may do inside its tenant. */
export const ROLE_BUNDLES: Readonly<Record<Role, readonly Permission[]>> = { ADMIN, OPERATOR, VIEWER, MEMBER: [] };

/**
 * What can be had on one group or device. Not in it, although a path names an object: to write topic rules, since a rule may name
 * any device of the tenant, and to delete groups, since that takes away what others were given.
 */
const BINDABLE: ReadonlySet<Permission> = new Set([
  Permission.DevicesRead,
  Permission.DevicesUpdate,
  Permission.DevicesDelete,
  Permission.DevicesLifecycle,
  Permission.DevicesExplain,
  Permission.DeviceTokenRotate,
  Permission.DeviceSecretRotate,
  Permission.CredentialsRead,
  Permission.CredentialsRevoke,
  Permission.CertificatesRead,
  Permission.CertificatesIssue,
  Permission.CertificatesRevoke,
  Permission.GroupsRead,
  Permission.GroupsUpdate,
  Permission.RulesRead,
  Permission.CommandsSend,
  Permission.CommandsRead,
]);

const bindable = (bundle: readonly Permission[]): readonly Permission[] => bundle.filter((permission) => BINDABLE.has(permission));

/** What a role gives on the group or device that it is bound to. */
export const BINDING_BUNDLES: Readonly<Record<BindingRole, readonly Permission[]>> = {
  ADMIN: bindable(ADMIN),
  OPERATOR: bindable(OPERATOR),
  VIEWER: bindable(VIEWER),
};

/** What a platform role adds, beyond any one tenant. */
export const PLATFORM_BUNDLES: Readonly<Record<PlatformRole, readonly Permission[]>> = {
  PLATFORM_ADMIN: Object.values(Permission).filter((permission) => permission.startsWith('platform.')),
  PLATFORM_OPERATOR: [Permission.PlatformAuditRead, Permission.PlatformTenantsRead],
  PLATFORM_OPERATOR_WRITE: [Permission.PlatformAuditRead, Permission.PlatformTenantsRead, Permission.PlatformTenantsFreeze],
};

/** Nobody hands out more than they may themselves: whether a caller may give this role to somebody. */
export function mayGrant(own: ReadonlySet<Permission>, role: Role): boolean {
  return ROLE_BUNDLES[role].every((permission) => own.has(permission));
}

/** The same for a role that is bound to a group or a device. */
export function mayBind(own: ReadonlySet<Permission>, role: BindingRole): boolean {
  return BINDING_BUNDLES[role].every((permission) => own.has(permission));
}

const rights = new Map<string, ReadonlySet<Permission>>();

/** Everything that a role in a tenant and one on the platform allow together. */
export function rightsOf(role: Role | null, platformRole: PlatformRole | null): ReadonlySet<Permission> {
  const name = `${role ?? ''} ${platformRole ?? ''}`;
  let all = rights.get(name);
  if (!all) {
    all = new Set([...(role === null ? [] : ROLE_BUNDLES[role]), ...(platformRole === null ? [] : PLATFORM_BUNDLES[platformRole])]);
    rights.set(name, all);
  }
  return all;
}
