import { randomUUID } from 'node:crypto';
import { requestContext } from '../platform/context/request-context.js';
import { isCanonicalUuid } from '../platform/http/uuid-param.js';
import { AUDIT_EVENTS, type AuditEvent, type AuditEventType, type Severity } from './audit-event.js';
import { boundedJson, cleanText } from './escape.js';

/** Who, what and where of a row: all that tells one kind of event from another, but for the reason. */
export interface AuditHead {
  readonly eventType: AuditEventType;
  readonly severity: Severity;
  readonly tenantId: string | null;
  readonly deviceId: string | null;
  readonly userId: string | null;
  readonly actorKind: string;
  readonly actorId: string | null;
  readonly ip: string | null;
  readonly requestId: string | null;
}

/** A row as it will stand in the table: clean, cut, every id a UUID. */
export interface AuditRow extends AuditHead {
  readonly id: string;
  /** Milliseconds since the epoch. */
  readonly occurredAt: number;
  /** JSON text of an object. */
  readonly details: string;
  /** How many events it stands for. */
  readonly events: number;
}

export function rowOf(event: AuditEvent, now: number): AuditRow {
  return { ...headOf(event), id: orderedId(now), occurredAt: now, details: detailsOf(event), events: 1 };
}

export function headOf(event: AuditEvent): AuditHead {
  const { type, actor, tenantId, deviceId = null, userId = actor.kind === 'user' ? actor.id : null } = event;
  const request = requestContext();
  return {
    eventType: type,
    severity: event.severity ?? AUDIT_EVENTS[type].severity,
    tenantId: uuidOrNull(tenantId),
    deviceId: uuidOrNull(deviceId),
    userId: uuidOrNull(userId),
    actorKind: cleanText(actor.kind, 32),
    actorId: textOrNull(actor.id, 128),
    ip: textOrNull(event.ip ?? request?.ip, 64),
    requestId: textOrNull(event.requestId ?? request?.requestId, 64),
  };
}

const NO_ID = '00000000-0000-0000-0000-000000000000';

/** An id that is none is kept as text: a column cannot hold it, and losing the row would be worse. */
export function detailsOf({ details, tenantId, deviceId, userId }: AuditEvent): string {
  const stray = Object.entries({ tenantId, deviceId, userId }).filter(([, id]) => !isCanonicalUuid(id ?? NO_ID));
  return boundedJson(stray.length === 0 ? undefined : { misfit: Object.fromEntries(stray) }, details);
}

let lastMs = 0;
let sequence = 0;

/**
 * A UUID of version 7 with a counter in rand_a (RFC 9562 §5.7, §6.2): rows of one millisecond keep the order in which this
 * process made them.
 */
export function orderedId(ms: number): string {
  sequence = ms === lastMs ? (sequence + 1) & 0xfff : 0;
  lastMs = ms;
  const time = Math.max(0, Math.trunc(ms)).toString(16).padStart(12, '0').slice(-12);
  return `${time.slice(0, 8)}-${time.slice(8)}-7${sequence.toString(16).padStart(3, '0')}-${randomUUID().slice(19)}`;
}

function uuidOrNull(id: string | null): string | null {
  return id !== null && isCanonicalUuid(id) ? id : null;
}

function textOrNull(text: string | null | undefined, max: number): string | null {
  return text === null || text === undefined ? null : cleanText(text, max);
}
