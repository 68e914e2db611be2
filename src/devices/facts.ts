import type { DeviceStatus } from './device.js';
import type { ServiceAccountStatus } from './service-account.js';
import { emqxAcl, type AclTerminal, type EmqxRule } from './topic-acl.js';
import { compileRules, type CompiledRules } from './topic.decision.js';
import { deviceRules, type TopicProfile } from './topic-profile.js';
import { renderRules, topicLists, type TopicRule } from './topic-rule.js';

/** All that the gate needs to know about a subject, rules compiled. Shared between requests: nobody changes it. */
export interface Facts {
  readonly kind: 'device' | 'service';
  readonly id: string;
  readonly tenantId: string;
  readonly tenantStatus: 'ACTIVE' | 'FROZEN';
  /** A device's state, or ACTIVE | DISABLED of a service account. */
  readonly status: string;
  /** `null` for a service account. */
  readonly slug: string | null;
  /** Raised with every change of what stands here, the tenant's status included. */
  readonly version: number;
  /** Ids, ascending. */
  readonly groups: readonly string[];
  /** `null`: whatever its credentials are. */
  readonly allowedProofs: readonly string[] | null;
  /** Seconds since the epoch, rounded up: tokens with an earlier `iat` are refused. */
  readonly tokensNotBefore: number | null;
  /** It may sign a challenge of ours in place of the time. */
  readonly clockless: boolean;
  readonly rules: CompiledRules;
  /** The rules as the broker's list, ready to send. */
  readonly acl: readonly EmqxRule[];
  /** The rules for people: what may be published and subscribed to. */
  readonly topics: { readonly publish: string[]; readonly subscribe: string[] };
}

/** Facts as caches keep them: plain data, rules as they were written. */
export type PlainFacts = Omit<Facts, 'rules' | 'acl' | 'topics'> & { readonly rules: readonly TopicRule[] };

/** A row of the view `subject_facts`, as the driver reads it. */
export interface FactsRow {
  readonly kind: 'device' | 'service';
  readonly id: string;
  readonly tenant_id: string;
  readonly tenant_status: 'ACTIVE' | 'FROZEN';
  readonly status: string;
  readonly slug: string | null;
  /** bigint, hence text. */
  readonly version: string;
  readonly allowed_proofs: string[] | null;
  readonly tokens_not_before: Date | null;
  readonly clockless: boolean;
  readonly groups: string[];
  readonly rules: readonly { action: TopicRule['action']; topic: string; qos: TopicRule['qos'] | null; retain: boolean | null }[];
}

export function readFacts(row: FactsRow): PlainFacts {
  return {
    kind: row.kind,
    id: row.id,
    tenantId: row.tenant_id,
    tenantStatus: row.tenant_status,
    status: row.status,
    slug: row.slug,
    version: Number(row.version),
    groups: row.groups,
    allowedProofs: row.allowed_proofs,
    // Up, not down: a token of the same second may be older than the line that was drawn.
    tokensNotBefore: row.tokens_not_before === null ? null : Math.ceil(row.tokens_not_before.getTime() / 1000),
    clockless: row.clockless,
    rules: row.rules.map(({ action, topic, qos, retain }) => ({
      action,
      topic,
      ...(qos === null ? {} : { qos }),
      ...(retain === null ? {} : { retain }),
    })),
  };
}

export interface CompileOptions {
  readonly prefix: string;
  readonly profile: TopicProfile;
  readonly terminal: AclTerminal;
}

/** Renders and compiles once what every answer of the gate then uses. */
export function compileFacts(plain: PlainFacts, { prefix, profile, terminal }: CompileOptions): Facts {
  const rules = plain.kind === 'device' ? rulesOfDevice(plain, prefix, profile) : rulesOfService(plain);
  const compiled = compileRules(rules);
  // Member by member: V8 gives the result of a spread a hidden class of its own each time, and each look at it then costs a miss.
  return {
    kind: plain.kind,
    id: plain.id,
    tenantId: plain.tenantId,
    tenantStatus: plain.tenantStatus,
    status: plain.status,
    slug: plain.slug,
    version: plain.version,
    groups: plain.groups,
    allowedProofs: plain.allowedProofs,
    tokensNotBefore: plain.tokensNotBefore,
    clockless: plain.clockless,
    rules: compiled,
    acl: emqxAcl(compiled, { terminal }),
    topics: topicLists(rules),
  };
}

function rulesOfDevice(plain: PlainFacts, prefix: string, profile: TopicProfile): TopicRule[] {
  return deviceRules(
    {
      profile,
      prefix,
      deviceId: plain.id,
      tenantId: plain.tenantId,
      groupIds: plain.groups,
      status: plain.status as DeviceStatus,
      // Every device has a slug; without one its rules that name it would be dropped.
      slug: plain.slug ?? '',
    },
    plain.rules,
  );
}

function rulesOfService(plain: PlainFacts): TopicRule[] {
  const active: ServiceAccountStatus = 'ACTIVE';
  return plain.status === active ? renderRules(plain.rules, { 'tenant.id': plain.tenantId }) : [];
}
