import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { Role } from '../access/permission.js';
import type { MembershipStatus } from './user.js';

@Entity('memberships')
export class MembershipEntity {
  @PrimaryColumn('uuid', { name: 'tenant_id' })
  tenantId!: string;

  @PrimaryColumn('uuid', { name: 'user_id' })
  userId!: string;

  @Column('text')
  role!: Role;

  @Column('text')
  status!: MembershipStatus;
}
