import { errorsOf, type ErrorCatalogue } from '../platform/problem/app-error.js';

export const CREDENTIALS_ERRORS = {
  CREDENTIAL_NOT_FOUND: {
    status: 404,
    title: 'No such credential',
    meaning: 'The device or service account has no credential with this id.',
  },
  CREDENTIAL_KIND_UNAVAILABLE: {
    status: 400,
    title: 'This kind of credential cannot be issued',
    meaning: 'This installation issues client secrets (`secret`), device tokens (`token`) and HMAC secrets (`hmac`); `detail` names '
      + 'what was asked for.',
  },
  CREDENTIAL_LIMIT_REACHED: {
    status: 409,
    title: 'Too many valid secrets',
    meaning: 'Five client secrets of one device or service account can be valid at a time, those in the overlap after a '
      + 'rotation included. Revoke one, or wait until an overlap has ended.',
  },
  TOKEN_TTL_INVALID: {
    status: 400,
    title: 'The lifetime of the token is out of bounds',
    meaning: '`ttl` is whole seconds from 60 to 86400; a device token never lives longer than 24 h.',
  },
  TOKEN_TOO_LARGE: {
    status: 409,
    title: 'The rules do not fit into a token',
    meaning: 'A token bears the topic rules of its device and must fit into the packet that a broker takes (15 KiB). Give '
      + 'the device fewer rules or groups, or let it connect with its client secret.',
  },
  TOKEN_DEVICE_STATE: {
    status: 409,
    title: 'The device gets no token in its state',
    meaning: 'Suspended and decommissioned devices get no token, nor does any device of a frozen tenant; a quarantined one '
      + 'gets it from an ADMIN only.',
  },
} as const satisfies ErrorCatalogue;

export const credentialsError = errorsOf(CREDENTIALS_ERRORS);
