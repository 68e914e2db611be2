import { AUDIT_ERRORS } from './audit/audit.errors.js';
import { AUTH_ERRORS } from './auth/auth.errors.js';
import { CREDENTIALS_ERRORS } from './credentials/credentials.errors.js';
import { DEVICE_SECRETS_ERRORS } from './device-secrets/device-secrets.errors.js';
import { DEVICES_ERRORS } from './devices/devices.errors.js';
import { IDEMPOTENCY_ERRORS } from './idempotency/idempotency.errors.js';
import { LIFECYCLE_ERRORS } from './lifecycle/lifecycle.errors.js';
import { MESSAGES_ERRORS } from './messages/messages.errors.js';
import type { ErrorCatalogue } from './platform/problem/app-error.js';
import { PLATFORM_ERRORS } from './platform/problem/platform.errors.js';
import { RATE_LIMIT_ERRORS } from './rate-limit/rate-limit.errors.js';
import { USERS_ERRORS } from './users/users.errors.js';

/** Every code that an answer of the REST edge can bear. A code stands in one room only; a test holds that. */
export const ERROR_CATALOGUES: readonly ErrorCatalogue[] = [
  PLATFORM_ERRORS,
  AUDIT_ERRORS,
  AUTH_ERRORS,
  USERS_ERRORS,
  DEVICES_ERRORS,
  CREDENTIALS_ERRORS,
  DEVICE_SECRETS_ERRORS,
  LIFECYCLE_ERRORS,
  MESSAGES_ERRORS,
  RATE_LIMIT_ERRORS,
  IDEMPOTENCY_ERRORS,
];

export const ERROR_CATALOGUE: ErrorCatalogue = Object.assign({}, ...ERROR_CATALOGUES) as ErrorCatalogue;
