import { platformError } from '../platform/problem/platform.errors.js';
import { AUDIT_EVENTS, SEVERITIES } from './audit-event.js';
import type { AuditExportQuery, AuditTailQuery } from './audit.dto.js';

/** What a reader of the log asked for, checked. Times are milliseconds since the epoch. */
export interface AuditFilter {
  readonly eventTypes: readonly string[] | null;
  readonly severities: readonly string[] | null;
  readonly deviceId: string | null;
  readonly userId: string | null;
  readonly from: number | null;
  readonly to: number | null;
  readonly q: string | null;
}

/** @throws VALIDATION_FAILED for an unknown type or severity and for a time that is none. */
export function filterOf(query: AuditExportQuery | (AuditTailQuery & { from?: undefined; to?: undefined })): AuditFilter {
  return {
    eventTypes: listOf('eventType', query.eventType, Object.keys(AUDIT_EVENTS)),
    severities: listOf('severity', query.severity, SEVERITIES),
    deviceId: query.deviceId?.toLowerCase() ?? null,
    userId: query.userId?.toLowerCase() ?? null,
    from: timeOf('from', query.from),
    to: timeOf('to', query.to),
    q: query.q === undefined || query.q === '' ? null : query.q,
  };
}

function listOf(path: string, text: string | undefined, known: readonly string[]): string[] | null {
  if (text === undefined) return null;
  const values = [...new Set(text.split(','))];
  const strange = values.filter((value) => !known.includes(value));
  if (strange.length > 0) throw invalid(path, `${path} does not know ${strange.join(', ')}`);
  return values;
}

const DATE = /^\d{4}-\d\d-\d\d$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?$/;

function timeOf(path: string, text: string | undefined): number | null {
  if (text === undefined) return null;
  const offset = TIME.exec(text);
  // A date alone is UTC by ECMAScript; a time without offset would be this machine's.
  const time = DATE.test(text) ? Date.parse(text) : offset ? Date.parse(offset[1] ? text : `${text}Z`) : Number.NaN;
  if (Number.isNaN(time)) throw invalid(path, `${path} must be a time such as 2026-01-31T12:00:00Z`);
  return time;
}

function invalid(path: string, message: string): Error {
  return platformError('VALIDATION_FAILED', { errors: [{ path, message }] });
}
