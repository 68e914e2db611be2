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
  readonly publish: readonly CompiledRule[];
  readonly subscribe: readonly CompiledRule[];
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
  return {
    all,
    publish: all.filter(({ rule }) => rule.action !== 'subscribe'),
    subscribe: all.filter(({ rule }) => rule.action !== 'publish'),
  };
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
  rules: readonly CompiledRule[],
  topic: string,
  qos: Qos | undefined,
  retain: boolean | undefined,
): TopicVerdict {
  if (isReserved(topic)) return RESERVED;
  const levels = splitName(topic);
  if (levels === null) return INVALID;
  const qosBit = bitOf(qos);
  for (const candidate of rules) {
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

function authorizeSubscribe(rules: readonly CompiledRule[], text: string, qos: Qos | undefined): TopicVerdict {
  const requested = requestedFilter(text);
  if ('allow' in requested) return requested;
  const qosBit = bitOf(qos);
  for (const candidate of rules) {
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
