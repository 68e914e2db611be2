import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { PlatformRole } from '../access/permission.js';
import type { AccountStatus } from './user.js';

@Entity('users')
export class UserEntity {
  @PrimaryColumn('uuid')
  id!: string;

  @Column('text')
  email!: string;

  @Column('text', { name: 'email_key' })
  emailKey!: string;

  @Column('text')
  name!: string;

  @Column('text', { name: 'password_hash' })
  passwordHash!: string;

  @Column('text')
  status!: AccountStatus;

  @Column('text', { name: 'platform_role', nullable: true })
  platformRole!: PlatformRole | null;
}
