import { BooleanField, EnumField, ListField, TextField } from '../platform/http/fields.js';
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

  @ListField('text', { max: 10_000, description: 'Serials of the certificates that this call revoked, with the reason `keyCompromise`.' })
  certificatesRevoked!: string[];

  @BooleanField({ nullable: true, description: 'Revocation lists that name them are served; `null`: there was nothing to list.' })
  crlPublished!: boolean | null;

  @ListField('uuid', { max: 50 })
  groupsLeft!: string[];
}

export function showIncident(report: IncidentReport): IncidentAnswer {
  const { statusBefore, credentialsRevoked, certificatesRevoked, crlPublished, groupsLeft, ...rest } = report;
  return {
    ...showLifecycle(rest),
    statusBefore,
    credentialsRevoked: [...credentialsRevoked],
    certificatesRevoked: [...certificatesRevoked],
    crlPublished,
    groupsLeft: [...groupsLeft],
  };
}
