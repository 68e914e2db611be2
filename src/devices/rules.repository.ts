import { Injectable } from '@nestjs/common';
import type { Transaction } from '../platform/database/transactions.js';
import type { Keyset } from '../platform/http/paging.js';
import { tenantOf } from './tenant-scope.js';
import { TopicRuleEntity } from './topic-rule.entity.js';
import type { Qos, RuleAction, TopicRule } from './topic-rule.js';

/** Whose rules. */
export interface RuleOwner {
  readonly kind: 'device' | 'group' | 'service';
  readonly id: string;
}

export interface RuleRecord {
  readonly id: string;
  readonly action: RuleAction;
  readonly topic: string;
  /** `null`: any. */
  readonly qos: readonly Qos[] | null;
  /** `null`: either. */
  readonly retain: boolean | null;
  readonly createdAt: Date;
}

/** `at`: its place in the order of the list. */
type ListedRule = RuleRecord & { readonly at: string };

const COLUMNS = { device: 'device_id', group: 'group_id', service: 'service_account_id' } as const;
const FIELDS = { device: 'deviceId', group: 'groupId', service: 'serviceAccountId' } as const;

/** The only file that knows how topic rules are kept. */
@Injectable()
export class RulesRepository {
  async insert(tx: Transaction, owner: RuleOwner, id: string, rule: TopicRule): Promise<void> {
    await tx.manager.getRepository(TopicRuleEntity).insert({
      id,
      tenantId: tenantOf(tx),
      [FIELDS[owner.kind]]: owner.id,
      action: rule.action,
      topic: rule.topic,
      qos: rule.qos === undefined ? null : [...rule.qos],
      retain: rule.retain ?? null,
    });
  }

  find(tx: Transaction, owner: RuleOwner, id: string): Promise<RuleRecord | null> {
    return tx.manager.getRepository(TopicRuleEntity).findOneBy({ id, tenantId: tenantOf(tx), [FIELDS[owner.kind]]: owner.id });
  }

  async delete(tx: Transaction, owner: RuleOwner, id: string): Promise<void> {
    await tx.manager.getRepository(TopicRuleEntity).delete({ id, tenantId: tenantOf(tx), [FIELDS[owner.kind]]: owner.id });
  }

  count(tx: Transaction, owner: RuleOwner): Promise<number> {
    return tx.manager.getRepository(TopicRuleEntity).countBy({ tenantId: tenantOf(tx), [FIELDS[owner.kind]]: owner.id });
  }

  page(tx: Transaction, owner: RuleOwner, after: Keyset | undefined, limit: number): Promise<ListedRule[]> {
    return tx.query(
      `SELECT r.id, r.action, r.topic, r.qos, r.retain, r.created_at AS "createdAt",
          to_char(r.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at
         FROM topic_rules r
        WHERE r.tenant_id = $1 AND r.${COLUMNS[owner.kind]} = $2
          AND ($4::timestamptz IS NULL OR (r.created_at, r.id) > ($4::timestamptz, $5::uuid))
        ORDER BY r.created_at, r.id LIMIT $3`,
      [tenantOf(tx), owner.id, limit, after?.at ?? null, after?.id ?? null],
    );
  }
}
