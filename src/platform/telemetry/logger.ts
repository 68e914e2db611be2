import { pino, type Logger } from 'pino';
import { requestContext } from '../context/request-context.js';

/** Fields that never reach the log, wherever they stand in an object of ours. */
const SECRET_FIELDS = [
  'password', 'newPassword', 'currentPassword', 'privateKey', 'pkcs12', 'authorization', 'cookie', 'token', 'secret', 'access_token', 'refresh_token', 'client_secret', 'hmac_secret',
  'adminKey', 'x-admin-key', 'x-internal-auth', 'x-csrf-token', 'set-cookie', 'url_with_password',
];

/** SQLSTATE classes whose messages quote values: data exceptions (22), and what a trigger or function raises (P0). */
const QUOTING = /^(22|P0)[0-9A-Z]{3}$/;

/**
 * What the log keeps of an error. A database error bears the statement's parameters (password hashes, digests), a fetch error its
 * request: only members that are known to be harmless are taken over.
 */
export function describeError(thrown: unknown): unknown {
  if (!(thrown instanceof Error)) return typeof thrown === 'string' ? thrown : String(thrown);
  const { code, constraint, table, severity } = ((thrown as { driverError?: object }).driverError ?? thrown) as Record<string, unknown>;
  // Postgres says what it did not like, which may be a secret.
  const quotes = typeof severity === 'string' && typeof code === 'string' && QUOTING.test(code);
  const frames = thrown.stack?.slice(Math.max(0, thrown.stack.indexOf('\n    at ')));
  return {
    type: thrown.name,
    message: quotes ? 'Postgres refused a value' : thrown.message,
    stack: quotes ? frames : thrown.stack,
    ...(typeof code === 'string' ? { code } : {}),
    ...(typeof constraint === 'string' ? { constraint } : {}),
    ...(typeof table === 'string' ? { table } : {}),
    ...(thrown.cause === undefined ? {} : { cause: describeError(thrown.cause) }),
  };
}

/** The process's logger: JSON lines, request id of the current request, secrets redacted. */
export const logger: Logger = pino({
  level: 'info',
  base: undefined,
  timestamp: pino.stdTimeFunctions.isoTime,
  serializers: { err: describeError },
  mixin: () => {
    const context = requestContext();
    return context ? { requestId: context.requestId } : {};
  },
  redact: {
    paths: SECRET_FIELDS.flatMap((field) => [`["${field}"]`, `*["${field}"]`, `*.*["${field}"]`]),
    censor: '[redacted]',
  },
});
