/** SQLSTATE of a violated unique constraint. */
const UNIQUE_VIOLATION = '23505';
const FOREIGN_KEY_VIOLATION = '23503';
const CHECK_VIOLATION = '23514';

/** Whether Postgres refused a row because of this unique constraint (or any, without a name). */
export function isUniqueViolation(error: unknown, constraint?: string): boolean {
  const detail = postgresError(error);
  return detail?.code === UNIQUE_VIOLATION && (constraint === undefined || detail.constraint === constraint);
}

export function isForeignKeyViolation(error: unknown, constraint?: string): boolean {
  const detail = postgresError(error);
  return detail?.code === FOREIGN_KEY_VIOLATION && (constraint === undefined || detail.constraint === constraint);
}

/** Whether a check refused the row; a trigger that raises one names it as a constraint. */
export function isCheckViolation(error: unknown, constraint: string): boolean {
  const detail = postgresError(error);
  return detail?.code === CHECK_VIOLATION && detail.constraint === constraint;
}

/** Whether the store could not be asked at all: connection refused or lost, shutting down, too many connections, timed out. */
export function isStoreUnavailable(error: unknown): boolean {
  const code = postgresError(error)?.code;
  if (typeof code === 'string') {
    return /^(08|57P|53)/.test(code) || code === '57014' || /^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOTFOUND|EHOSTUNREACH)$/.test(code);
  }
  return error instanceof Error
    && /^(Connection terminated|Query read timeout|timeout exceeded when trying to connect|Client has encountered a connection error)/.test(error.message);
}

function postgresError(error: unknown): { code?: string; constraint?: string } | undefined {
  if (error === null || typeof error !== 'object') return undefined;
  // TypeORM wraps the driver's error and copies its fields, but not always.
  const driver = (error as { driverError?: unknown }).driverError;
  const source = driver !== null && typeof driver === 'object' ? driver : error;
  return source;
}
