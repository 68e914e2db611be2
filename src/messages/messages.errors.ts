import { errorsOf, type ErrorCatalogue } from '../platform/problem/app-error.js';

export const MESSAGES_ERRORS = {
  MESSAGE_NOT_VERIFIABLE: {
    status: 503,
    title: 'The message cannot be verified now',
    meaning: 'The store that remembers nonces does not answer. Without it a message could be accepted twice, so none is. Try again.',
  },
  COMMAND_NOT_FOUND: {
    status: 404,
    title: 'No such command',
    meaning: 'The device has no command with this id.',
  },
  COMMAND_DEVICE_STATE: {
    status: 409,
    title: 'The device takes no commands in its state',
    meaning: 'Only an ACTIVE device of a tenant that is not frozen takes commands; `detail` says how it is.',
  },
  COMMAND_UNSIGNABLE: {
    status: 409,
    title: 'The device has no HMAC secret',
    meaning: 'Commands are signed with the HMAC secret of their device. Give it one (`POST /devices/{id}/rotate-secret`).',
  },
  COMMAND_INVALID: {
    status: 400,
    title: 'The command cannot be sent',
    meaning: 'The payload is no I-JSON (numbers beyond a double, halves of surrogate pairs), or the signed message would be larger than '
      + '8192 bytes.',
  },
  COMMAND_ENDED: {
    status: 409,
    title: 'The command has ended',
    meaning: 'Only a command that is PENDING or SENT can be cancelled; `detail` says how it ended.',
  },
} as const satisfies ErrorCatalogue;

export const messagesError = errorsOf(MESSAGES_ERRORS);
