import { isReserved, isTopicFilter } from './topic.js';

export type Qos = 0 | 1 | 2;
export type RuleAction = 'publish' | 'subscribe' | 'all';

/**
 * A grant. There are no denials in the model: what no rule grants is refused. `qos` and `retain` narrow the grant;
 * left out, they mean "any". `retain` concerns publishing alone, as it does in EMQX.
 */
export interface TopicRule {
  readonly action: RuleAction;
  readonly topic: string;
  readonly qos?: readonly Qos[];
  readonly retain?: boolean;
}

/** What a rule's topic may name as `${…}`, anywhere within a level. */
export const RULE_VARIABLES = ['device.id', 'device.slug', 'tenant.id'] as const;
export type RuleVariable = (typeof RULE_VARIABLES)[number];
export type RuleValues = Readonly<Partial<Record<RuleVariable, string>>>;

/** The variables of a rule whose holder is no device. */
export const SERVICE_ACCOUNT_VARIABLES: readonly RuleVariable[] = ['tenant.id'];

export interface RuleProblem {
  readonly path: string;
  readonly message: string;
}

export type ParsedRule =
  | { readonly ok: true; readonly rule: TopicRule }
  | { readonly ok: false; readonly problems: readonly RuleProblem[] };

const ACTIONS: readonly unknown[] = ['publish', 'subscribe', 'all'];
const MEMBERS = new Set(['action', 'topic', 'qos', 'retain']);
/** EMQX reads this prefix as "compare literally", which the model does not know. */
const LITERAL_PREFIX = 'eq ';

/**
 * Reads a rule from outside. `qos` may be one number or a list; all three of them become "any". Every problem is
 * named, none is repaired.
 */
export function parseRule(input: unknown, variables: readonly RuleVariable[] = RULE_VARIABLES): ParsedRule {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    return { ok: false, problems: [{ path: '', message: 'must be an object' }] };
  }
  const { action, topic, qos, retain } = input as Record<string, unknown>;
  const problems: RuleProblem[] = [];
  for (const member of Object.keys(input)) {
    if (!MEMBERS.has(member)) problems.push({ path: member, message: 'is not a member of a rule' });
  }
  if (!ACTIONS.includes(action)) {
    problems.push({ path: 'action', message: 'must be "publish", "subscribe" or "all"' });
  }
  const topicProblem = typeof topic === 'string' ? validateRuleTopic(topic, variables) : 'must be a string';
  if (topicProblem !== null) problems.push({ path: 'topic', message: topicProblem });
  const levels = qosLevels(qos);
  if (levels === null) problems.push({ path: 'qos', message: 'must be 0, 1, 2 or a list of them that is not empty' });
  if (retain !== undefined && typeof retain !== 'boolean') {
    problems.push({ path: 'retain', message: 'must be a boolean' });
  } else if (retain !== undefined && action === 'subscribe') {
    problems.push({ path: 'retain', message: 'has no meaning for "subscribe"' });
  }
  if (problems.length > 0) return { ok: false, problems };
  const rule = {
    action: action as RuleAction,
    topic: topic as string,
    ...(levels !== null && levels.length > 0 ? { qos: levels } : {}),
    ...(typeof retain === 'boolean' ? { retain } : {}),
  };
  return { ok: true, rule };
}

/** Says in words why a rule may not name this topic, or null if it may. */
export function validateRuleTopic(
  topic: string,
  variables: readonly RuleVariable[] = RULE_VARIABLES,
): string | null {
  if (topic.startsWith(LITERAL_PREFIX)) return 'must not begin with "eq "';
  // Any harmless word shows what the filter looks like once a value stands in it.
  const sample = substitute(topic, (name) => ((variables as readonly string[]).includes(name) ? 'x' : null));
  if (sample === null) {
    return `may use no other variable than ${variables.map((name) => `\${${name}}`).join(', ')}`;
  }
  if (isReserved(sample)) return 'must not begin with "$"';
  return isTopicFilter(sample) ? null : 'is not a valid MQTT topic filter';
}

/**
 * Puts the values into a rule's topic. Null, so no grant at all, if a value is missing or could change the shape of
 * the filter: a value never adds a level, a wildcard, a `$` root or a placeholder of the broker.
 */
export function renderRule(rule: TopicRule, values: RuleValues): TopicRule | null {
  const topic = substitute(rule.topic, (name) => {
    const value = Object.hasOwn(values, name) ? values[name as RuleVariable] : undefined;
    return value !== undefined && isPlainWord(value) ? value : null;
  });
  if (topic === null || topic.startsWith(LITERAL_PREFIX) || isReserved(topic) || !isTopicFilter(topic)) return null;
  return topic === rule.topic ? rule : { ...rule, topic };
}

/** Renders what can be rendered; a rule that cannot is left out, which grants less. */
export function renderRules(rules: readonly TopicRule[], values: RuleValues): TopicRule[] {
  return rules.map((rule) => renderRule(rule, values)).filter((rule) => rule !== null);
}

/** The filters of a rule list by direction, for people and for token claims. */
export function topicLists(rules: readonly TopicRule[]): { publish: string[]; subscribe: string[] } {
  const of = (action: RuleAction): string[] => [
    ...new Set(rules.filter((rule) => rule.action === action || rule.action === 'all').map((rule) => rule.topic)),
  ];
  return { publish: of('publish'), subscribe: of('subscribe') };
}

/** Replaces each `${name}` once, left to right; values are not read again. Null if a name has no value. */
function substitute(template: string, valueOf: (name: string) => string | null): string | null {
  let text = '';
  let position = 0;
  for (;;) {
    const open = template.indexOf('${', position);
    if (open === -1) return text + template.slice(position);
    const close = template.indexOf('}', open);
    if (close === -1) return null;
    const value = valueOf(template.slice(open + 2, close));
    if (value === null) return null;
    text += template.slice(position, open) + value;
    position = close + 1;
  }
}

function isPlainWord(value: string): boolean {
  return isTopicFilter(value) && !/[+#/$]/.test(value);
}

/** Ascending and without repeats; empty means "any"; null means unreadable. */
function qosLevels(qos: unknown): Qos[] | null {
  if (qos === undefined) return [];
  const asked: unknown[] = Array.isArray(qos) ? qos : [qos];
  if (asked.length === 0 || !asked.every((level) => level === 0 || level === 1 || level === 2)) return null;
  const levels = ([0, 1, 2] as const).filter((level) => asked.includes(level));
  return levels.length === 3 ? [] : levels;
}
