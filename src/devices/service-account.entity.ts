import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { ServiceAccountStatus } from './service-account.js';

/** Row of `service_accounts`. */
@Entity({ name: 'service_accounts' })
export class ServiceAccountEntity {
  @PrimaryColumn({ type: 'uuid' })
  id!: string;

  @Column({ name: 'tenant_id', type: 'uuid', update: false })
  tenantId!: string;

  @Column({ type: 'text' })
  name!: string;

  @Column({ type: 'text' })
  status!: ServiceAccountStatus;
}
