import { errorsOf, type ErrorCatalogue } from '../platform/problem/app-error.js';

export const DEVICES_ERRORS = {
  DEVICE_NOT_FOUND: {
    status: 404,
    title: 'No such device',
    meaning: 'No device of this tenant has the id. One of another tenant is answered in the same way.',
  },
  DEVICE_SLUG_TAKEN: {
    status: 409,
    title: 'The slug is taken',
    meaning: 'Another device of the tenant, not decommissioned, bears this slug.',
  },
  DEVICE_DECOMMISSIONED: {
    status: 409,
    title: 'The device is decommissioned',
    meaning: 'A decommissioned device stays as it is for ever; register a new one.',
  },
  DEVICE_STATE_CONFLICT: {
    status: 409,
    title: 'The device cannot go there from its state',
    meaning: '`detail` names both states. PENDING → ACTIVE ⇄ SUSPENDED, both ⇄ QUARANTINED, any → DECOMMISSIONED; a release '
      + 'goes back to the state before the quarantine.',
  },
  GROUP_NOT_FOUND: {
    status: 404,
    title: 'No such group',
    meaning: 'No group of this tenant has the id. One of another tenant is answered in the same way.',
  },
  GROUP_SLUG_TAKEN: {
    status: 409,
    title: 'The slug is taken',
    meaning: 'Another group of the tenant bears this slug.',
  },
  GROUP_HAS_CHILDREN: {
    status: 409,
    title: 'Groups lie in the group',
    meaning: 'Delete the groups in it first, or give them another parent.',
  },
  GROUP_CIRCLE: {
    status: 409,
    title: 'A group cannot lie within itself',
    meaning: 'The parent is the group itself or lies in it.',
  },
  GROUP_TOO_DEEP: {
    status: 409,
    title: 'Groups would lie too deep',
    meaning: 'A tree of groups has 8 levels at most.',
  },
  GROUP_LIMIT_REACHED: {
    status: 409,
    title: 'The device is in too many groups',
    meaning: 'A device can be in 50 groups at most.',
  },
  GROUP_CHANGE_DENIED: {
    status: 403,
    title: 'This takes more than a role on the group',
    meaning: 'Who may change a group or device by a role binding moves no group in the tree, and puts a device into a group or takes '
      + 'it out by its `groups` only where they may change both (`devices.device.update`, `devices.group.update`).',
  },
  BINDING_NOT_FOUND: {
    status: 404,
    title: 'No such role binding',
    meaning: 'No role binding of this tenant has the id.',
  },
  BINDING_EXISTS: {
    status: 409,
    title: 'The role is bound already',
    meaning: 'The person has this role on this very group or device. For another end delete it and bind it anew.',
  },
  BINDING_USER_UNKNOWN: {
    status: 404,
    title: 'No such member',
    meaning: 'No member of this tenant has the id. Roles are bound for members; one of another tenant is answered in the same way.',
  },
  BINDING_EXCEEDS_OWN: {
    status: 403,
    title: 'You cannot bind what you do not have',
    meaning: 'The role allows more than you may yourself in the tenant (an access token: more than its scopes). Nothing was changed.',
  },
  SERVICE_ACCOUNT_NOT_FOUND: {
    status: 404,
    title: 'No such service account',
    meaning: 'No service account of this tenant has the id. One of another tenant is answered in the same way.',
  },
  SERVICE_ACCOUNT_NAME_TAKEN: {
    status: 409,
    title: 'The name is taken',
    meaning: 'Another service account of the tenant bears this name.',
  },
  RULE_NOT_FOUND: {
    status: 404,
    title: 'No such rule',
    meaning: 'The device, group or service account has no rule with this id.',
  },
  RULE_INVALID: {
    status: 400,
    title: 'The topic rule is not valid',
    meaning: '`errors[]` says why: a malformed filter, a variable that does not exist here, a first level that begins with '
      + '`$`, `eq `…',
  },
  RULE_OUTSIDE_TENANT: {
    status: 403,
    title: 'The rule reaches beyond the tenant',
    meaning: "A rule must lie within one root of its tenant: an own device's subtree, an own `$group`, the own `$broadcast`, "
      + '`verified/{tenantId}/#` (to subscribe) or `t/{tenantId}/#`. Anything wider, and publishing below `verified`, takes the permission '
      + '`platform.rule.write`.',
  },
  RULE_NOT_LISTABLE: {
    status: 400,
    title: 'The rule cannot be put into the broker\'s list',
    meaning: 'Under `ACL_TERMINAL=deny` the broker decides by its list alone, and a filter that ends in `+` or `+/#` with '
      + 'another `+` before cannot be listed exactly.',
  },
  RULE_LIMIT_REACHED: {
    status: 409,
    title: 'Too many rules',
    meaning: 'A device, group or service account can have 100 rules at most.',
  },
} as const satisfies ErrorCatalogue;

export const devicesError = errorsOf(DEVICES_ERRORS);
