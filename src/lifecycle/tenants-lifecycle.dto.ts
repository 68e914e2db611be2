import { DurationField } from '../platform/http/duration.js';
import { EnumField, IntegerField, JsonField, TextField, TimeField, UuidField } from '../platform/http/fields.js';
import type { Tenant } from '../users/tenant.js';
import { ReasonQuery } from './lifecycle.dto.js';
import type { TenantChange } from './tenants-lifecycle.service.js';

export class DeleteTenantQuery extends ReasonQuery {
  @DurationField({ optional: true, description: 'Until it is deleted for good; 168h when left out.', example: '168h' })
  grace?: string;
}

export class TenantStanding {
  @UuidField()
  id!: string;

  @TextField({ max: 63 })
  slug!: string;

  @EnumField(['ACTIVE', 'FROZEN'])
  status!: string;

  @TextField({ max: 500, nullable: true })
  statusReason!: string | null;

  @TimeField({ nullable: true })
  deleteAfter!: string | null;
}

export class FreezeProgress extends TenantStanding {
  @IntegerField({ min: 0, max: 1_000_000_000, description: 'Devices and service accounts of which the broker has not yet confirmed that no session is left.' })
  unconfirmed!: number;

  @IntegerField({ min: 0, max: 1_000_000_000, description: 'Second looks that are due, for connects that were under way.' })
  sweeps!: number;
}

export class TenantChangeAnswer extends TenantStanding {
  @IntegerField({ min: 0, max: 1_000_000_000, description: 'Devices and service accounts whose live sessions are being cut.' })
  subjects!: number;

  @JsonField({ description: '`steps` with their milliseconds, and `totalMs`.' })
  took!: Record<string, unknown>;
}

export function showTenantStanding({ id, slug, status, statusReason, deleteAfter }: Tenant): TenantStanding {
  return { id, slug, status, statusReason, deleteAfter: deleteAfter?.toISOString() ?? null };
}

export function showTenantChange({ tenant, subjects, steps, totalMs }: TenantChange): TenantChangeAnswer {
  return { ...showTenantStanding(tenant), subjects, took: { steps, totalMs } };
}
