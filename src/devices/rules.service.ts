import { randomUUID } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { Permission } from '../access/permission.js';
import type { TenantPrincipal } from '../access/principal.js';
import { actorOf } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { CONFIG, type Config } from '../platform/config/config.js';
import { Transactions, type Transaction } from '../platform/database/transactions.js';
import { DEFAULT_PAGE, decodeCursor, pageOf, type Page } from '../platform/http/paging.js';
import { devicesError } from './devices.errors.js';
import { DevicesRepository } from './devices.repository.js';
import { FactsChanges } from './facts-changes.js';
import { GroupsRepository } from './groups.repository.js';
import type { PageRequest } from './groups.service.js';
import { RulesRepository, type RuleOwner, type RuleRecord } from './rules.repository.js';
import { ServiceAccountsRepository } from './service-accounts.repository.js';
import { listable } from './topic-acl.js';
import { tenantRootOf } from './topic-border.js';
import { parseRule, RULE_VARIABLES, SERVICE_ACCOUNT_VARIABLES, type TopicRule } from './topic-rule.js';

/** They all go into every answer of the door, a group's once for each group. */
export const MAX_RULES_PER_OWNER = 100;

/** Extra allow rules of devices, groups and service accounts, beside what the topic profile grants. */
@Injectable()
export class RulesService {
  constructor(
    private readonly transactions: Transactions,
    private readonly rules: RulesRepository,
    private readonly devices: DevicesRepository,
    private readonly groups: GroupsRepository,
    private readonly accounts: ServiceAccountsRepository,
    private readonly changes: FactsChanges,
    private readonly audit: AuditService,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /** @throws DEVICE_NOT_FOUND, GROUP_NOT_FOUND, SERVICE_ACCOUNT_NOT_FOUND */
  async list(me: TenantPrincipal, owner: RuleOwner, { limit = DEFAULT_PAGE, cursor }: PageRequest): Promise<Page<RuleRecord>> {
    const after = decodeCursor(cursor);
    return this.transactions.run({ tenantId: me.tenantId }, async (tx) => {
      if (!(await this.exists(tx, owner))) throw notFound(owner);
      const rows = await this.rules.page(tx, owner, after, limit + 1);
      return pageOf(rows, limit, ({ at, id }) => ({ at, id }), (rule) => rule);
    });
  }

  /**
   * @throws RULE_INVALID, RULE_NOT_LISTABLE, RULE_OUTSIDE_TENANT, RULE_LIMIT_REACHED, DEVICE_DECOMMISSIONED, and as `list`
   */
  async add(me: TenantPrincipal, owner: RuleOwner, input: unknown): Promise<RuleRecord> {
    const rule = this.read(owner, input);
    return this.transactions.run({ tenantId: me.tenantId }, async (tx) => {
      await this.hold(tx, owner);
      const wide = forgesVerified(rule) || !(await this.isWithinTenant(tx, me.tenantId, rule));
      if (wide && !me.permissions.has(Permission.PlatformRules)) throw devicesError('RULE_OUTSIDE_TENANT');
      refuseVoice(owner, rule);
      if ((await this.rules.count(tx, owner)) >= MAX_RULES_PER_OWNER) throw devicesError('RULE_LIMIT_REACHED');
      const id = randomUUID();
      await this.rules.insert(tx, owner, id, rule);
      await this.touch(tx, owner);
      await this.record(tx, me, 'RULE_CREATED', owner, { ruleId: id, rule, ...(wide ? { wide } : {}) });
      const added = await this.rules.find(tx, owner, id);
      if (added === null) throw new Error('a rule that was just written is not there');
      return added;
    });
  }

  /** @throws RULE_NOT_FOUND, DEVICE_DECOMMISSIONED, and as `list` */
  remove(me: TenantPrincipal, owner: RuleOwner, ruleId: string): Promise<void> {
    return this.transactions.run({ tenantId: me.tenantId }, async (tx) => {
      await this.hold(tx, owner);
      const rule = await this.rules.find(tx, owner, ruleId);
      if (rule === null) throw devicesError('RULE_NOT_FOUND');
      await this.rules.delete(tx, owner, ruleId);
      const touched = await this.touch(tx, owner);
      this.changes.narrowed(tx, kindOf(owner), touched, 'RULE_REMOVED');
      const { action, topic, qos, retain } = rule;
      await this.record(tx, me, 'RULE_DELETED', owner, { ruleId, rule: { action, topic, qos, retain } });
    });
  }

  /** A rule that the installation gives an account of its own: part of a larger change, whose author audits it. Known ones stay as they are. */
  async grant(tx: Transaction, owner: RuleOwner, rule: TopicRule): Promise<void> {
    await this.hold(tx, owner);
    const known = await this.rules.page(tx, owner, undefined, MAX_RULES_PER_OWNER);
    if (known.some(({ action, topic }) => action === rule.action && topic === rule.topic)) return;
    await this.rules.insert(tx, owner, randomUUID(), rule);
    await this.touch(tx, owner);
  }

  private read(owner: RuleOwner, input: unknown): TopicRule {
    const parsed = parseRule(input, owner.kind === 'service' ? SERVICE_ACCOUNT_VARIABLES : RULE_VARIABLES);
    if (!parsed.ok) {
      const errors = parsed.problems.map(({ path, message }) => ({ path, message: `${path} ${message}` }));
      throw devicesError('RULE_INVALID', { errors });
    }
    if (this.config.gate.aclTerminal === 'deny' && !listable(parsed.rule)) {
      const problem = { path: 'topic', message: 'topic cannot be listed exactly for the broker' };
      throw devicesError('RULE_NOT_LISTABLE', { errors: [problem] });
    }
    return parsed.rule;
  }

  private async isWithinTenant(tx: Transaction, tenantId: string, rule: TopicRule): Promise<boolean> {
    const root = tenantRootOf(rule.topic, { prefix: this.config.mqtt.topicPrefix, tenantId });
    switch (root?.kind) {
      case 'tenant':
      case 'own-device':
        return true;
      case 'device':
        return (await this.devices.find(tx, root.id)) !== null;
      case 'group':
        return (await this.groups.find(tx, root.id)) !== null;
      default:
        return false;
    }
  }

  private async exists(tx: Transaction, { kind, id }: RuleOwner): Promise<boolean> {
    const found = await { device: this.devices, group: this.groups, service: this.accounts }[kind].find(tx, id);
    return found !== null;
  }

  /** Two changes of one owner's rules never overtake each other. */
  private async hold(tx: Transaction, owner: RuleOwner): Promise<void> {
    switch (owner.kind) {
      case 'device': {
        const [device] = await this.devices.lock(tx, [owner.id]);
        if (!device) throw notFound(owner);
        if (device.status === 'DECOMMISSIONED') throw devicesError('DEVICE_DECOMMISSIONED');
        return;
      }
      case 'group':
        if ((await this.groups.lock(tx, [owner.id], 'change')).length === 0) throw notFound(owner);
        return;
      case 'service':
        if (!(await this.accounts.lock(tx, owner.id))) throw notFound(owner);
    }
  }

  private async touch(tx: Transaction, owner: RuleOwner): Promise<string[]> {
    const touched = owner.kind === 'group'
      ? await this.changes.touchMembers(tx, owner.id)
      : await this.changes.touch(tx, owner.kind, [owner.id]);
    return touched.map(({ id }) => id);
  }

  private record(
    tx: Transaction,
    me: TenantPrincipal,
    type: 'RULE_CREATED' | 'RULE_DELETED',
    owner: RuleOwner,
    details: Record<string, unknown>,
  ): Promise<void> {
    return this.audit.record(tx, {
      type,
      tenantId: me.tenantId,
      deviceId: owner.kind === 'device' ? owner.id : null,
      actor: actorOf(me),
      details: { owner, ...details },
    });
  }
}

/** What stands below `verified` was verified: nothing but the gateway may say it. */
function refuseVoice({ kind }: RuleOwner, { action, topic }: TopicRule): void {
  if (kind === 'service' || action === 'subscribe' || !/^(?:verified|\+|#)(?:\/|$)/.test(topic)) return;
  throw devicesError('RULE_INVALID', { errors: [{ path: 'topic', message: 'topic must not let a device publish below verified' }] });
}

function kindOf(owner: RuleOwner): 'device' | 'service' {
  return owner.kind === 'service' ? 'service' : 'device';
}

const NOT_FOUND = { device: 'DEVICE_NOT_FOUND', group: 'GROUP_NOT_FOUND', service: 'SERVICE_ACCOUNT_NOT_FOUND' } as const;

function notFound({ kind }: RuleOwner): Error {
  return devicesError(NOT_FOUND[kind]);
}

/** `verified/…` says that we have checked a message: whoever may publish there speaks in our name, so only the platform grants it. */
function forgesVerified({ action, topic }: TopicRule): boolean {
  return action !== 'subscribe' && (topic === 'verified' || topic.startsWith('verified/'));
}
