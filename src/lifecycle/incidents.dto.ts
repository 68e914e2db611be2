import { EnumField, ListField, TextField } from '../platform/http/fields.js';
import type { Confinement, IncidentReport } from './incidents.service.js';
import { LifecycleAnswer } from './lifecycle.dto.js';
import { showLifecycle } from './lifecycle.view.js';

export class CompromisedRequest {
  @TextField({ min: 1, max: 500, description: 'Stands in the audit log and with the device.' })
  reason!: string;

  @EnumField(['quarantine', 'suspend'], { optional: true, description: '`quarantine` when left out.' })
  confinement?: Confinement;
}

export class IncidentAnswer extends LifecycleAnswer {
  @TextField({ max: 32 })
  statusBefore!: string;

  @ListField('uuid', { max: 10_000, description: 'What this call revoked; a repetition finds nothing left.' })
  credentialsRevoked!: string[];

  @ListField('uuid', { max: 50 })
  groupsLeft!: string[];
}

export function showIncident({ statusBefore, credentialsRevoked, groupsLeft, ...rest }: IncidentReport): IncidentAnswer {
  return { ...showLifecycle(rest), statusBefore, credentialsRevoked: [...credentialsRevoked], groupsLeft: [...groupsLeft] };
}
