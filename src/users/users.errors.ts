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
  LAST_ADMIN: {
    status: 409,
    title: 'The tenant needs an ADMIN',
    meaning: 'The last active ADMIN of a tenant can be neither demoted, disabled nor removed; make somebody else ADMIN first.',
  },
} as const satisfies ErrorCatalogue;

export const usersError = errorsOf(USERS_ERRORS);
