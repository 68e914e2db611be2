import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { DeviceStatus, ProofKind } from './device.js';

/** Row of `devices`. Its version is raised by the statements of `DevicesRepository`, never by an entity. */
@Entity({ name: 'devices' })
export class DeviceEntity {
  @PrimaryColumn({ type: 'uuid' })
  id!: string;

  @Column({ name: 'tenant_id', type: 'uuid', update: false })
  tenantId!: string;

  @Column({ type: 'text' })
  slug!: string;

  @Column({ type: 'text' })
  name!: string;

  @Column({ type: 'text' })
  status!: DeviceStatus;

  @Column({ type: 'jsonb' })
  metadata!: object;

  @Column({ name: 'allowed_proofs', type: 'text', array: true, nullable: true })
  allowedProofs!: ProofKind[] | null;
}
