import { pino, type Logger } from 'pino';
import { requestContext } from '../context/request-context.js';

/** Fields that never reach the log, wherever they stand in an object of ours. */
const SECRET_FIELDS = [
  'password', 'authorization', 'cookie', 'token', 'secret', 'access_token', 'refresh_token', 'client_secret', 'hmac_secret',
  'adminKey', 'x-admin-key', 'x-internal-auth', 'x-csrf-token', 'set-cookie', 'url_with_password',
];

/** The process's logger: JSON lines, request id of the current request, secrets redacted. */
export const logger: Logger = pino({
  level: 'info',
  base: undefined,
  timestamp: pino.stdTimeFunctions.isoTime,
  mixin: () => {
    const context = requestContext();
    return context ? { requestId: context.requestId } : {};
  },
  redact: {
    paths: SECRET_FIELDS.flatMap((field) => [`["${field}"]`, `*["${field}"]`, `*.*["${field}"]`]),
    censor: '[redacted]',
  },
});
