import { OmitType } from '@nestjs/swagger';
import { EnumField, JsonField, ObjectField, TextField, TimeField, UuidField } from '../platform/http/fields.js';
import { PageQuery } from '../platform/http/paging.js';
import { AUDIT_EVENTS, SEVERITIES, type AuditEventType, type Severity } from './audit-event.js';

const EVENT_TYPES = Object.keys(AUDIT_EVENTS) as [AuditEventType, ...AuditEventType[]];
const LIST_HINT = 'one value, or several with commas between';

/** Filters of the log, all of which must fit, and the page. */
export class AuditLogQuery extends PageQuery {
  @TextField({
    optional: true, max: 1024, pattern: /^[A-Z_]+(?:,[A-Z_]+)*$/, patternHint: LIST_HINT,
    description: 'Event types, with commas between.', example: 'DEVICE_SUSPENDED,AUTH_FAILURE',
  })
  eventType?: string;

  @TextField({
    optional: true, max: 64, pattern: /^[A-Z]+(?:,[A-Z]+)*$/, patternHint: LIST_HINT,
    description: 'INFO, WARNING, HIGH, CRITICAL, with commas between.', example: 'HIGH,CRITICAL',
  })
  severity?: string;

  @UuidField({ optional: true })
  deviceId?: string;

  @UuidField({ optional: true, description: 'The account that it is about, or that acted.' })
  userId?: string;

  @TimeField({ optional: true, description: 'Not before this time; UTC where no offset is given.' })
  from?: string;

  @TimeField({ optional: true, description: 'Before this time.' })
  to?: string;

  @TextField({ optional: true, max: 128, description: 'Part of the details, the address, the actor or the request id, in any case.' })
  q?: string;
}

/** An export has no pages. */
export class AuditExportQuery extends OmitType(AuditLogQuery, ['limit', 'cursor'] as const) {}

/** A stream has neither pages nor an end. */
export class AuditTailQuery extends OmitType(AuditLogQuery, ['limit', 'cursor', 'from', 'to'] as const) {}

export class AuditActorView {
  @TextField({ max: 32, description: 'user, device, service, provisioner, system or anonymous' })
  kind!: string;

  @TextField({ nullable: true, max: 128 })
  id!: string | null;
}

export class AuditLogView {
  @UuidField()
  id!: string;

  @TimeField()
  occurredAt!: string;

  @EnumField(EVENT_TYPES)
  eventType!: string;

  @EnumField(SEVERITIES)
  severity!: Severity;

  @UuidField({ nullable: true })
  deviceId!: string | null;

  @UuidField({ nullable: true })
  userId!: string | null;

  @ObjectField(() => AuditActorView)
  actor!: AuditActorView;

  @TextField({ nullable: true, max: 64 })
  ip!: string | null;

  @TextField({ nullable: true, max: 64 })
  requestId!: string | null;

  @JsonField({ description: '`count`, `firstAt`, `lastAt` where the row stands for repeats of an earlier one.' })
  details!: Record<string, unknown>;
}

export class AuditLogPage {
  @ObjectField(() => AuditLogView, { list: true })
  items!: AuditLogView[];

  @TextField({ nullable: true, max: 512 })
  nextCursor!: string | null;
}
