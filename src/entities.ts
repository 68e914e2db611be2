import { GroupEntity } from './devices/group.entity.js';
import { ServiceAccountEntity } from './devices/service-account.entity.js';
import { TopicRuleEntity } from './devices/topic-rule.entity.js';
import type { EntityClass } from './platform/database/data-source.js';
import { MembershipEntity } from './users/membership.entity.js';
import { UserEntity } from './users/user.entity.js';

/** What TypeORM maps; everything else is written SQL. */
export const ENTITIES: readonly EntityClass[] = [
  UserEntity,
  MembershipEntity,
  GroupEntity,
  ServiceAccountEntity,
  TopicRuleEntity,
];
