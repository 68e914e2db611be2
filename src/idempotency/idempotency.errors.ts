import { errorsOf, type ErrorCatalogue } from '../platform/problem/app-error.js';

export const IDEMPOTENCY_ERRORS = {
  IDEMPOTENCY_KEY_INVALID: {
    status: 400,
    title: 'The Idempotency-Key is not valid',
    meaning: '`Idempotency-Key` must be 1 to 255 visible ASCII characters, sent once; a UUID is a good choice.',
  },
  IDEMPOTENCY_IN_PROGRESS: {
    status: 409,
    title: 'The same request is still under way',
    meaning: 'A request with this `Idempotency-Key` has not been answered yet. Repeat it after `Retry-After` seconds.',
  },
  IDEMPOTENCY_KEY_REUSED: {
    status: 422,
    title: 'The Idempotency-Key belongs to another request',
    meaning: 'This key was sent within the last 24 hours with another method, path, query or body. Use a new key for a new request.',
  },
  SECRET_ALREADY_SHOWN: {
    status: 409,
    title: 'The secret was shown and is gone',
    meaning: 'The request succeeded, but its answer held a one-time secret, which can be read again for 10 minutes only. '
      + 'If it was lost, rotate the credential.',
  },
} as const satisfies ErrorCatalogue;

export const idempotencyError = errorsOf(IDEMPOTENCY_ERRORS);
