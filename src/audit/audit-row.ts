import { randomUUID } from 'node:crypto';
import { requestContext } from '../platform/context/request-context.js';
import { isCanonicalUuid } from '../platform/http/uuid-param.js';
import { AUDIT_EVENTS, type AuditEvent, type AuditEventType, type Severity } from './audit-event.js';
import { boundedJson, cleanText } from './escape.js';

/** A row as it will stand in the table: clean, cut, every id a UUID. */
export interface AuditRow {
  readonly id: string;
  /** Milliseconds since the epoch. */
  readonly occurredAt: number;
  readonly eventType: AuditEventType;
  readonly severity: Severity;
  readonly tenantId: string | null;
  readonly deviceId: string | null;
  readonly userId: string | null;
  readonly actorKind: string;
  readonly actorId: string | null;
  readonly ip: string | null;
  readonly requestId: string | null;
  /** JSON text of an object. */
  readonly details: string;
  /** How many events it stands for. */
  readonly events: number;
}

/** Who, what and where are there; `complete` adds the rest, which a repeat does not need. */
export type AuditDraft = { -readonly [Member in keyof AuditRow]: AuditRow[Member] };

export function rowOf(event: AuditEvent, now: number): AuditRow {
  return complete(draftOf(event), event, now);
}

export function complete(draft: AuditDraft, event: AuditEvent, now: number): AuditRow {
  draft.id = orderedId(now);
  draft.occurredAt = now;
  draft.details = detailsOf(event);
  return draft;
}

export function draftOf(event: AuditEvent): AuditDraft {
  const { type, actor, tenantId, deviceId = null, userId = actor.kind === 'user' ? actor.id : (actor.userId ?? null) } = event;
  const request = requestContext();
  return {
    id: '',
    occurredAt: 0,
    eventType: type,
    severity: event.severity ?? AUDIT_EVENTS[type].severity,
    tenantId: uuidOrNull(tenantId),
    deviceId: uuidOrNull(deviceId),
    userId: uuidOrNull(userId),
    actorKind: cleanText(actor.kind, 32),
    actorId: textOrNull(actor.id, 128),
    ip: textOrNull(event.ip ?? request?.ip, 64),
    requestId: textOrNull(event.requestId ?? request?.requestId, 64),
    details: '{}',
    events: 1,
  };
}

/** An id that is none is kept as text: a column cannot hold it, and losing the row would be worse. */
function detailsOf({ details, tenantId, deviceId, userId }: AuditEvent): string {
  if (fits(tenantId) && fits(deviceId) && fits(userId)) return boundedJson(details);
  const misfit = Object.fromEntries(Object.entries({ tenantId, deviceId, userId }).filter(([, id]) => !fits(id)));
  return boundedJson({ misfit }, details);
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

function fits(id: string | null | undefined): boolean {
  return id === null || id === undefined || isCanonicalUuid(id);
}

function uuidOrNull(id: string | null): string | null {
  return id !== null && isCanonicalUuid(id) ? id : null;
}

function textOrNull(text: string | null | undefined, max: number): string | null {
  return text === null || text === undefined ? null : cleanText(text, max);
}
