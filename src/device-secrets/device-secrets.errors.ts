import { errorsOf, type ErrorCatalogue } from '../platform/problem/app-error.js';

export const DEVICE_SECRETS_ERRORS = {
  HMAC_SECRET_LIMIT_REACHED: {
    status: 409,
    title: 'Too many valid HMAC secrets',
    meaning: 'Five HMAC secrets of one device can verify at a time, those in the overlap after a rotation included. Revoke one, or wait '
      + 'until an overlap has ended.',
  },
} as const satisfies ErrorCatalogue;

export const deviceSecretsError = errorsOf(DEVICE_SECRETS_ERRORS);
