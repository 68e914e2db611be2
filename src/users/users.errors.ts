import { errorsOf, type ErrorCatalogue } from '../platform/problem/app-error.js';

export const USERS_ERRORS = {
  USER_NOT_FOUND: {
    status: 404,
    title: 'No such user',
    meaning: 'No member of your tenant has this id. Members of other tenants are not told apart from ids that nobody has.',
  },
  USER_EMAIL_TAKEN: {
    status: 409,
    title: 'The e-mail address is taken',
    meaning: 'An account with this address exists in the installation, in your tenant or elsewhere. Nothing was changed.',
  },
  GRANT_EXCEEDS_OWN: {
    status: 403,
    title: 'You cannot give what you do not have',
    meaning: 'The role allows more than you may yourself (an access token: more than its scopes). Nothing was changed.',
  },
  MEMBER_EXISTS: {
    status: 409,
    title: 'The account is a member already',
    meaning: 'The account has a membership in this tenant, perhaps a disabled one; change that instead.',
  },
  TENANT_NOT_FOUND: {
    status: 404,
    title: 'No such tenant',
    meaning: 'No tenant of the installation has this id.',
  },
  TENANT_SLUG_TAKEN: {
    status: 409,
    title: 'The slug is taken',
    meaning: 'Another tenant of the installation has this slug.',
  },
  TENANT_IS_DEFAULT: {
    status: 409,
    title: 'The tenant `default` stays',
    meaning: 'The tenant `default` can be frozen, but neither deleted nor given another slug.',
  },
  TENANT_DELETION_PENDING: {
    status: 409,
    title: 'The tenant is being deleted',
    meaning: 'It stays frozen until its grace is over; take the deletion back (`/restore`) before opening it again.',
  },
  ACCOUNT_NOT_FOUND: {
    status: 404,
    title: 'No such account',
    meaning: 'No account of the installation has this id.',
  },
  LAST_PLATFORM_ADMIN: {
    status: 409,
    title: 'The platform needs a PLATFORM_ADMIN',
    meaning: 'The last active PLATFORM_ADMIN can neither lose that role nor be offboarded; give it to somebody else first.',
  },
  LAST_ADMIN: {
    status: 409,
    title: 'The tenant needs an ADMIN',
    meaning: 'The last active ADMIN of a tenant can be neither demoted, disabled nor removed; make somebody else ADMIN first.',
  },
} as const satisfies ErrorCatalogue;

export const usersError = errorsOf(USERS_ERRORS);
