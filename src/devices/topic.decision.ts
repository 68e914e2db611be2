import { coversLevels, isReserved, parseFilter, splitName, stripShare } from './topic.js';
import type { TopicFilter } from './topic.js';
import type { Qos, TopicRule } from './topic-rule.js';

/** A PUBLISH or SUBSCRIBE to judge. `qos` and `retain` are left out only if the broker did not tell them. */
export type TopicRequest =
  | { readonly action: 'publish'; readonly topic: string; readonly qos?: Qos; readonly retain?: boolean }
  | { readonly action: 'subscribe'; readonly filter: string; readonly qos?: Qos };

export type TopicRefusal = 'TOPIC_INVALID' | 'TOPIC_RESERVED' | 'TOPIC_NOT_GRANTED';

export type TopicVerdict =
  | { readonly allow: true; readonly rule: TopicRule }
  | { readonly allow: false; readonly reason: TopicRefusal };

export interface CompiledRule {
  readonly rule: TopicRule;
  readonly filter: TopicFilter;
  /** Bit n stands for QoS n; `ANY_QOS` means that the rule does not look at it. */
  readonly qosMask: number;
  readonly verdict: TopicVerdict;
}

/** Rules cut and sorted once, so that a decision is string comparison and nothing else. */
export interface CompiledRules {
  readonly all: readonly CompiledRule[];
  readonly publish: ActionRules;
  readonly subscribe: ActionRules;
}

/** What is to be looked at for one action. */
export interface ActionRules {
  /**
   * By topic or filter, for who asks for it just as it stands in a rule that narrows nothing: by far the most do, and one look-up
   * answers them where the list would touch every rule.
   */
  readonly verbatim: ReadonlyMap<string, TopicVerdict>;
  /** The rules that can grant anything else. */
  readonly others: readonly CompiledRule[];
}

export const ANY_QOS = 0b111;

const INVALID: TopicVerdict = { allow: false, reason: 'TOPIC_INVALID' };
const RESERVED: TopicVerdict = { allow: false, reason: 'TOPIC_RESERVED' };
const NOT_GRANTED: TopicVerdict = { allow: false, reason: 'TOPIC_NOT_GRANTED' };

/**
 * Prepares rendered rules for `authorize`. A rule whose topic no rule may have (illegal, `$` first, a variable left
 * in it) grants nothing, whoever stored it.
 */
export function compileRules(rules: readonly TopicRule[]): CompiledRules {
  const all: CompiledRule[] = [];
  for (const rule of rules) {
    const filter = parseFilter(rule.topic);
    if (filter === null || isReserved(rule.topic) || rule.topic.startsWith('eq ') || rule.topic.includes('${')) {
      continue;
    }
    const qosMask = rule.qos === undefined ? ANY_QOS : rule.qos.reduce<number>((mask, qos) => mask | bitOf(qos), 0);
    all.push({ rule, filter, qosMask, verdict: { allow: true, rule } });
  }
  return { all, publish: rulesOf('publish', all), subscribe: rulesOf('subscribe', all) };
}

function rulesOf(action: 'publish' | 'subscribe', all: readonly CompiledRule[]): ActionRules {
  const verbatim = new Map<string, TopicVerdict>();
  const others: CompiledRule[] = [];
  for (const compiled of all) {
    const { rule, filter, qosMask, verdict } = compiled;
    if (rule.action !== action && rule.action !== 'all') continue;
    const literal = !filter.open && !filter.levels.includes('+');
    const narrowed = qosMask !== ANY_QOS || (action === 'publish' && rule.retain !== undefined);
    // A filter lies within itself; a topic name is no filter with wildcards.
    if (!narrowed && (literal || action === 'subscribe') && !verbatim.has(filter.text)) verbatim.set(filter.text, verdict);
    if (narrowed || !literal) others.push(compiled);
  }
  return { verbatim, others };
}

/**
 * The one decision on topics: callback, explain endpoint, token claims and the broker's list all rest on it.
 * A subscription is granted only if one rule matches every topic that its filter can match. A rule that narrows QoS
 * or retain does not answer for a request that leaves them out.
 */
export function authorize(compiled: CompiledRules, request: TopicRequest): TopicVerdict {
  return request.action === 'publish'
    ? authorizePublish(compiled.publish, request.topic, request.qos, request.retain)
    : authorizeSubscribe(compiled.subscribe, request.filter, request.qos);
}

function authorizePublish(
  { verbatim, others }: ActionRules,
  topic: string,
  qos: Qos | undefined,
  retain: boolean | undefined,
): TopicVerdict {
  const known = verbatim.get(topic);
  if (known !== undefined) return known;
  if (isReserved(topic)) return RESERVED;
  const levels = splitName(topic);
  if (levels === null) return INVALID;
  const qosBit = bitOf(qos);
  for (const candidate of others) {
    if (
      coversLevels(candidate.filter.levels, candidate.filter.open, levels, false) &&
      grantsQos(candidate, qosBit) &&
      (candidate.rule.retain === undefined || candidate.rule.retain === retain)
    ) {
      return candidate.verdict;
    }
  }
  return NOT_GRANTED;
}

function authorizeSubscribe({ verbatim, others }: ActionRules, text: string, qos: Qos | undefined): TopicVerdict {
  const known = verbatim.get(text);
  if (known !== undefined) return known;
  const requested = requestedFilter(text);
  if ('allow' in requested) return requested;
  if (requested.text !== text) {
    const shared = verbatim.get(requested.text);
    if (shared !== undefined) return shared;
  }
  const qosBit = bitOf(qos);
  for (const candidate of others) {
    if (
      coversLevels(candidate.filter.levels, candidate.filter.open, requested.levels, requested.open) &&
      grantsQos(candidate, qosBit)
    ) {
      return candidate.verdict;
    }
  }
  return NOT_GRANTED;
}

/** The filter that a SUBSCRIBE asks for without its share group, or the refusal. */
export function requestedFilter(text: string): TopicFilter | TopicVerdict {
  if (!isReserved(text)) return parseFilter(text) ?? INVALID;
  const subscription = stripShare(text);
  if (subscription.kind === 'refused') return subscription.reason === 'TOPIC_RESERVED' ? RESERVED : INVALID;
  return parseFilter(subscription.filter) ?? INVALID;
}

function grantsQos(candidate: CompiledRule, qosBit: number): boolean {
  return candidate.qosMask === ANY_QOS || (candidate.qosMask & qosBit) !== 0;
}

/** No bit at all for a QoS that is not known, so that no narrowed rule answers for it. */
function bitOf(qos: Qos | undefined): number {
  if (qos === 0) return 0b001;
  if (qos === 1) return 0b010;
  return qos === 2 ? 0b100 : 0;
}
