import { errorsOf, type ErrorCatalogue } from '../platform/problem/app-error.js';

export const AUDIT_ERRORS = {
  AUDIT_STREAMS_BUSY: {
    status: 429,
    title: 'Too many streams',
    meaning: 'This account, or this process, already serves as many streams of the security log as it bears. Close one, then try again.',
  },
} as const satisfies ErrorCatalogue;

export const auditError = errorsOf(AUDIT_ERRORS);
