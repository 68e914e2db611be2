import { errorsOf, type ErrorCatalogue } from './app-error.js';

/** Errors that belong to HTTP and to the ground floor, not to any one room. */
export const PLATFORM_ERRORS = {
  VALIDATION_FAILED: {
    status: 400,
    title: 'The request is not valid',
    meaning: 'A field is missing, unknown or has a wrong value; `errors[]` names each one by its path.',
  },
  MALFORMED_REQUEST: {
    status: 400,
    title: 'The request cannot be read',
    meaning: 'The body is not valid JSON (or NDJSON), the URL is not well formed, or a header contradicts another.',
  },
  CURSOR_INVALID: {
    status: 400,
    title: 'The cursor is not one of ours',
    meaning: '`cursor` must be the `nextCursor` of an earlier page of the same list.',
  },
  NOT_FOUND: {
    status: 404,
    title: 'Not found',
    meaning: 'No such path or object, or it belongs to another tenant: the two are never told apart.',
  },
  METHOD_NOT_ALLOWED: {
    status: 405,
    title: 'Method not allowed',
    meaning: 'The path exists, but not with this HTTP method.',
  },
  CONFLICT: {
    status: 409,
    title: 'The request collides with another change',
    meaning: 'Two changes met; nothing was lost. Read the object again and repeat the request.',
  },
  BODY_TOO_LARGE: {
    status: 413,
    title: 'The body is too large',
    meaning: 'Bodies are limited to 64 KiB; bulk routes state their own limit.',
  },
  UNSUPPORTED_MEDIA_TYPE: {
    status: 415,
    title: 'Unsupported media type',
    meaning: 'Send `application/json`, or the type that the route names.',
  },
  INTERNAL_ERROR: {
    status: 500,
    title: 'Something failed on our side',
    meaning: 'Nothing about the cause is told to the caller; look for `requestId` in the log.',
  },
  STORE_UNAVAILABLE: {
    status: 503,
    title: 'A store cannot be reached',
    meaning: 'Postgres does not answer. Nothing was changed; repeat the request later.',
  },
} as const satisfies ErrorCatalogue;

export const platformError = errorsOf(PLATFORM_ERRORS);
