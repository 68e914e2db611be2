import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { Qos, RuleAction } from './topic-rule.js';

/** Row of `topic_rules`: exactly one of the three owners is set. */
@Entity({ name: 'topic_rules' })
export class TopicRuleEntity {
  @PrimaryColumn({ type: 'uuid' })
  id!: string;

  @Column({ name: 'tenant_id', type: 'uuid', update: false })
  tenantId!: string;

  @Column({ name: 'device_id', type: 'uuid', nullable: true, update: false })
  deviceId!: string | null;

  @Column({ name: 'group_id', type: 'uuid', nullable: true, update: false })
  groupId!: string | null;

  @Column({ name: 'service_account_id', type: 'uuid', nullable: true, update: false })
  serviceAccountId!: string | null;

  @Column({ type: 'text' })
  action!: RuleAction;

  @Column({ type: 'text' })
  topic!: string;

  @Column({ type: 'smallint', array: true, nullable: true })
  qos!: Qos[] | null;

  @Column({ type: 'boolean', nullable: true })
  retain!: boolean | null;

  @Column({ name: 'created_at', type: 'timestamptz', insert: false, update: false })
  createdAt!: Date;
}
