import type { Keyset } from '../platform/http/paging.js';
import type { Severity } from './audit-event.js';
import type { AuditLogRow } from './audit-log.repository.js';
import type { AuditLogView } from './audit.dto.js';

export function keyOf(row: AuditLogRow): Keyset {
  return { at: row.occurred_at, id: row.id };
}

export function viewOf(row: AuditLogRow): AuditLogView {
  return {
    id: row.id,
    occurredAt: new Date(row.occurred_at).toISOString(),
    eventType: row.event_type,
    severity: row.severity as Severity,
    deviceId: row.device_id,
    userId: row.user_id,
    actor: { kind: row.actor_kind, id: row.actor_id },
    ip: row.ip,
    requestId: row.request_id,
    details: row.details,
  };
}
