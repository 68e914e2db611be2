import { errorsOf, type ErrorCatalogue } from '../platform/problem/app-error.js';

export const LIFECYCLE_ERRORS = {
  BULK_LINE_MALFORMED: {
    status: 400,
    title: 'The line is not a JSON object',
    meaning: 'Each line of a bulk request is one JSON object of at most 64 KiB; the other lines are not affected.',
  },
  BULK_TOO_LONG: {
    status: 413,
    title: 'The bulk request has too many lines',
    meaning: 'A bulk request holds at most 100 000 lines; what stands before the limit has been registered.',
  },
  CERT_DEVICE_STATE: {
    status: 409,
    title: 'The device gets no certificate in its state',
    meaning: 'Suspended devices get no certificate; a quarantined one gets it from an ADMIN only.',
  },
  CERT_SERVICE_STATE: {
    status: 409,
    title: 'The service account gets no certificate in its state',
    meaning: 'A disabled service account gets no certificate: enable it first.',
  },
  CERT_ISSUING_BUSY: {
    status: 503,
    title: 'Too many certificates are asked for at once',
    meaning: 'A process issues a few certificates at a time, so that the broker does not wait for it; repeat after `Retry-After` seconds.',
  },
  CERT_RENEWAL_NEEDS_CERTIFICATE: {
    status: 409,
    title: 'A certificate is renewed with the one before',
    meaning: 'A device gets its first certificate with its client secret. While it has a good one it renews with that, on `DEVICE_TLS_PORT`; an ADMIN may always issue.',
  },
} as const satisfies ErrorCatalogue;

export const lifecycleError = errorsOf(LIFECYCLE_ERRORS);
