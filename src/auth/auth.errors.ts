import { errorsOf, type ErrorCatalogue } from '../platform/problem/app-error.js';

export const AUTH_ERRORS = {
  UNAUTHENTICATED: {
    status: 401,
    title: 'Authentication is needed',
    meaning: 'The route needs a caller and the request bears no credential that this route takes.',
  },
  TOKEN_INVALID: {
    status: 401,
    title: 'The access token is not valid',
    meaning: 'It is not one of ours, has expired, or its session, account or membership has ended; log in or refresh.',
  },
  CREDENTIALS_DISAGREE: {
    status: 401,
    title: 'The request bears two credentials',
    meaning: 'An Authorization header, a cookie, an admin key or two refresh tokens were sent together. Send exactly one of them.',
  },
  INVALID_CREDENTIALS: {
    status: 401,
    title: 'The credentials are wrong',
    meaning: 'E-mail and password do not belong together, the account may not log in (there), or a device’s secret is wrong: '
      + 'which of these is never said.',
  },
  REFRESH_TOKEN_INVALID: {
    status: 401,
    title: 'The refresh token is not valid',
    meaning: 'It is unknown, has expired, has been used before (which ends its session), or came by another way than it was handed '
      + 'out; log in again. Two refreshes at once with one token end the session too: let only one run.',
  },
  ADMIN_KEY_WRONG: {
    status: 401,
    title: 'The admin key is wrong',
    meaning: '`X-Admin-Key` is not the `ADMIN_KEY` of this installation.',
  },
  CSRF_TOKEN_INVALID: {
    status: 403,
    title: 'The CSRF token is missing or wrong',
    meaning: 'A write whose credential came from a cookie must bear, in `X-CSRF-Token`, the value that login and refresh answered '
      + 'in the header of the same name.',
  },
  PERMISSION_DENIED: {
    status: 403,
    title: 'You may not do this',
    meaning: '`detail` names the permission that your role lacks; `docs/permissions.md` says which role has it.',
  },
  SESSION_REQUIRED: {
    status: 403,
    title: 'An interactive session is needed',
    meaning: 'Self routes are for people who have logged in, not for access tokens, devices or provisioning stations.',
  },
  TENANT_FROZEN: {
    status: 403,
    title: 'The tenant is frozen',
    meaning: 'It may be read, but nothing in it changes and nothing of it connects until the platform opens it again.',
  },
  RECOVERY_TOKEN_INVALID: {
    status: 400,
    title: 'The recovery token is not valid',
    meaning: 'It is not one of ours, older than 5 minutes, or was used before; ask for a new one.',
  },
  CONFIRMATION_TOKEN_INVALID: {
    status: 400,
    title: 'The confirmation is not valid',
    meaning: 'It is not one of ours, older than an hour, or was used before; ask for the change again.',
  },
  INVITATION_INVALID: {
    status: 400,
    title: 'The invitation is not valid',
    meaning: 'It is not one of ours, older than 168 hours, was used or taken back, or whoever sent it may no longer give that role.',
  },
  INVITATION_NOT_FOUND: {
    status: 404,
    title: 'No such invitation',
    meaning: 'No pending invitation of your tenant has this id.',
  },
  MAIL_NOT_CONFIGURED: {
    status: 503,
    title: 'There is no mail server',
    meaning: 'The route sends a mail, and the installation has no `SMTP_URL`.',
  },
  PAT_NOT_FOUND: {
    status: 404,
    title: 'No such access token',
    meaning: 'None of your personal access tokens in this tenant has this id.',
  },
  PAT_REVOKED: {
    status: 409,
    title: 'The access token is revoked',
    meaning: 'A revoked token stays revoked; make a new one.',
  },
  PAT_LIMIT_REACHED: {
    status: 409,
    title: 'Too many access tokens',
    meaning: 'A person has at most 100 living personal access tokens in a tenant; revoke those that nobody uses.',
  },
  ACCESS_UNDECLARED: {
    status: 403,
    title: 'The route is closed',
    meaning: 'The route does not say who may call it, so nobody may. This is a fault of ours.',
  },
  CURRENT_PASSWORD_WRONG: {
    status: 403,
    title: 'The current password is wrong',
    meaning: 'A password is changed only by somebody who knows the current one. Nothing was changed.',
  },
  PASSWORD_NOT_ACCEPTED: {
    status: 400,
    title: 'The password is not accepted',
    meaning: '8 to 128 characters, no NUL, and none of the passwords that everybody uses; nothing else is asked of it.',
  },
  SESSION_NOT_FOUND: {
    status: 404,
    title: 'No such session',
    meaning: 'None of your living sessions has this id.',
  },
  PASSWORD_CHECKS_BUSY: {
    status: 503,
    title: 'Too many logins at once',
    meaning: 'Checking a password is slow on purpose and only a few are checked at a time; repeat after `Retry-After` seconds.',
  },
} as const satisfies ErrorCatalogue;

export const authError = errorsOf(AUTH_ERRORS);
