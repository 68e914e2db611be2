import { parseFilter } from './topic.js';
import type { TopicFilter } from './topic.js';
import type { Qos, TopicRule } from './topic-rule.js';
import { ANY_QOS, authorize } from './topic.decision.js';
import type { CompiledRule, CompiledRules } from './topic.decision.js';

/** One entry of the list form of EMQX's `acl` (authentication answer and JWT claim). EMQX drops unknown keys. */
export interface EmqxRule {
  readonly permission: 'allow' | 'deny';
  readonly action: 'publish' | 'subscribe' | 'all';
  readonly topics: readonly string[];
  readonly qos?: readonly Qos[];
  readonly retain?: boolean;
}

/** What happens to a request that no entry matches: asked of the ACL callback, or refused by the list itself. */
export type AclTerminal = 'callback' | 'deny';

/**
 * First levels with a meaning to a broker. No rule may begin with `$`, so refusing them takes nothing away. Others
 * cannot be listed (a leading wildcard does not reach `$`); the broker's `no_match = deny` answers for those.
 */
const RESERVED_TOPICS = [
  '$SYS/#', '$share/#', '$queue/#', '$exclusive/#', '$delayed/#', '$events/#', '$file/#', '$stream/#', '$q/#',
  '$CONTROL/#',
];

/**
 * Whether EMQX's own matcher can be made to grant exactly what `rule` grants. EMQX compares a requested filter word by
 * word with the rule, so its `+` takes a requested `#` for a word: `a/+` and `a/+/#` grant a SUBSCRIBE to `a/#`. One
 * literal denial stops that, unless another `+` stands earlier: `+/b/+` would need one for every first level there is.
 * A PUBLISH holds no wildcard and is always exact.
 */
export function listable(rule: TopicRule): boolean {
  if (rule.action === 'publish') return true;
  const filter = parseFilter(rule.topic);
  return filter !== null && isListable(filter);
}

/**
 * The rules as an EMQX list, exact under EMQX's matcher: it grants nothing that `authorize` refuses, and all that
 * `authorize` grants by listable rules. What is not listable is left out: the callback answers for it under
 * `callback`, nobody under `deny`. Denials stand first and the order of the grants does not matter, so grants of one
 * kind share an entry. Costs some microseconds; keep it with the compiled rules.
 */
export function emqxAcl(compiled: CompiledRules, options: { terminal: AclTerminal }): EmqxRule[] {
  const list = new ListBuilder();
  const grants = compiled.all.flatMap(toGrant);
  // Old EMQX 5 releases let a leading wildcard reach "$…"; the roots that matter are shut in front of it.
  if (grants.some(({ filter }) => filter.levels.length === 0 || filter.levels[0] === '+')) {
    list.add({ permission: 'deny', action: 'all' }, RESERVED_TOPICS);
  }
  for (const [literal, qos] of overreach(compiled, grants)) {
    list.add({ permission: 'deny', action: 'subscribe', ...qosField(qos) }, [`eq ${literal}`]);
  }
  for (const { action, filter, qosMask, retain } of grants) {
    const retainField = retain === undefined ? {} : { retain };
    list.add({ permission: 'allow', action, ...qosField(qosMask), ...retainField }, [filter.text]);
  }
  if (options.terminal === 'deny') list.append({ permission: 'deny', action: 'all' }, ['#', ...RESERVED_TOPICS]);
  return list.rules;
}

interface Grant {
  readonly action: TopicRule['action'];
  readonly filter: TopicFilter;
  readonly qosMask: number;
  readonly retain: boolean | undefined;
}

function toGrant({ rule, filter, qosMask }: CompiledRule): Grant[] {
  if (qosMask === 0) return [];
  // EMQX reads retain for a PUBLISH only, as `authorize` does.
  const retain = rule.action === 'subscribe' ? undefined : rule.retain;
  if (rule.action === 'publish' || isListable(filter)) return [{ action: rule.action, filter, qosMask, retain }];
  return rule.action === 'all' ? [{ action: 'publish', filter, qosMask, retain }] : [];
}

function isListable(filter: TopicFilter): boolean {
  const last = filter.levels.length - 1;
  return filter.levels[last] !== '+' || filter.levels.indexOf('+') === last;
}

/** The literal filters, with their QoS, that EMQX would grant by a closing `+` or `+/#` and `authorize` refuses. */
function overreach(compiled: CompiledRules, grants: readonly Grant[]): Map<string, number> {
  const denials = new Map<string, number>();
  for (const { action, filter, qosMask } of grants) {
    if (action === 'publish' || filter.levels[filter.levels.length - 1] !== '+') continue;
    const literal = [...filter.levels.slice(0, -1), '#'].join('/');
    for (const qos of qosOf(qosMask)) {
      if (authorize(compiled, { action: 'subscribe', filter: literal, qos }).allow) continue;
      denials.set(literal, (denials.get(literal) ?? 0) | (1 << qos));
    }
  }
  return denials;
}

function qosOf(mask: number): Qos[] {
  return ([0, 1, 2] as const).filter((qos) => (mask & (1 << qos)) !== 0);
}

function qosField(mask: number): { qos?: Qos[] } {
  return mask === ANY_QOS ? {} : { qos: qosOf(mask) };
}

/** Gathers topics under entries that agree in everything else. */
class ListBuilder {
  readonly rules: EmqxRule[] = [];
  private readonly topicsOf = new Map<string, string[]>();

  add(head: Omit<EmqxRule, 'topics'>, topics: readonly string[]): void {
    const key = JSON.stringify([head.permission, head.action, head.qos, head.retain]);
    const known = this.topicsOf.get(key);
    if (known === undefined) {
      this.topicsOf.set(key, this.append(head, topics));
    } else {
      known.push(...topics.filter((topic) => !known.includes(topic)));
    }
  }

  append(head: Omit<EmqxRule, 'topics'>, topics: readonly string[]): string[] {
    const own = [...topics];
    this.rules.push({ ...head, topics: own });
    return own;
  }
}
