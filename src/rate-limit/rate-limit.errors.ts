import { errorsOf, type ErrorCatalogue } from '../platform/problem/app-error.js';

export const RATE_LIMIT_ERRORS = {
  RATE_LIMITED: {
    status: 429,
    title: 'Too many requests',
    meaning: 'Wait as long as the `Retry-After` header says (seconds), then repeat the request. Nothing was changed.',
  },
} as const satisfies ErrorCatalogue;

export const rateLimitError = errorsOf(RATE_LIMIT_ERRORS);
