import { coversLevels, isReserved, splitName } from './topic.js';
import type { TopicRule } from './topic-rule.js';
import { ANY_QOS, authorize, requestedFilter } from './topic.decision.js';
import type { CompiledRule, CompiledRules, TopicRequest } from './topic.decision.js';

/** The rule that came closest to granting a refused request, and in words what parts them. */
export interface NearestRule {
  readonly rule: TopicRule;
  readonly why: string;
}

interface Asked {
  readonly levels: readonly string[];
  readonly open: boolean;
}

/**
 * Finds it for the explain endpoint; no part of a decision. Undefined if the request is granted, if its topic could
 * not be granted by any rule, or if no rule shares as much as a first level with it.
 */
export function nearestRule(compiled: CompiledRules, request: TopicRequest): NearestRule | undefined {
  if (authorize(compiled, request).allow) return undefined;
  const asked = levelsOf(request);
  if (asked === null) return undefined;
  let best: (NearestRule & { score: number }) | undefined;
  for (const candidate of compiled.all) {
    const found = distance(candidate, request, asked);
    if (found.score > (best?.score ?? 0)) best = { rule: candidate.rule, ...found };
  }
  return best === undefined ? undefined : { rule: best.rule, why: best.why };
}

/** Right topic beats right action beats shared levels: the fewer words an operator must change, the nearer. */
function distance(candidate: CompiledRule, request: TopicRequest, asked: Asked): { score: number; why: string } {
  const { rule, filter } = candidate;
  const sameAction = rule.action === 'all' || rule.action === request.action;
  if (coversLevels(filter.levels, filter.open, asked.levels, asked.open)) {
    return sameAction
      ? { score: 2000, why: narrowed(candidate, request) }
      : { score: 1000, why: `the rule grants ${rule.action} only` };
  }
  const shared = sharedLevels(candidate, asked);
  return { score: sameAction ? shared : 0, why: parting(candidate, asked, shared) };
}

function narrowed({ rule, qosMask }: CompiledRule, request: TopicRequest): string {
  const parts: string[] = [];
  if (qosMask !== ANY_QOS && (request.qos === undefined || !rule.qos?.includes(request.qos))) {
    const asked = request.qos === undefined ? 'none was given' : `${request.qos} was asked for`;
    parts.push(`the rule grants QoS ${rule.qos?.join(', ')}; ${asked}`);
  }
  if (request.action === 'publish' && rule.retain !== undefined && rule.retain !== request.retain) {
    parts.push(`the rule grants ${rule.retain ? 'retained' : 'unretained'} messages only`);
  }
  return parts.join('; ');
}

function sharedLevels({ filter }: CompiledRule, asked: Asked): number {
  const most = Math.min(filter.levels.length, asked.levels.length);
  for (let i = 0; i < most; i++) {
    if (filter.levels[i] !== '+' && filter.levels[i] !== asked.levels[i]) return i;
  }
  return most;
}

function parting({ filter }: CompiledRule, asked: Asked, shared: number): string {
  const ours = filter.levels[shared];
  const theirs = asked.levels[shared] ?? (asked.open ? '#' : undefined);
  const place = `level ${shared + 1}`;
  if (ours === undefined) return `the rule ends before ${place}, "${theirs}" in the request`;
  if (theirs === undefined) return `the request ends before ${place}, "${ours}" in the rule`;
  return theirs === '#' || theirs === '+'
    ? `"${theirs}" at ${place} of the request reaches beyond "${ours}" in the rule`
    : `${place} is "${ours}" in the rule and "${theirs}" in the request`;
}

function levelsOf(request: TopicRequest): Asked | null {
  if (request.action === 'subscribe') {
    const filter = requestedFilter(request.filter);
    return 'allow' in filter ? null : filter;
  }
  const levels = isReserved(request.topic) ? null : splitName(request.topic);
  return levels === null ? null : { levels, open: false };
}
