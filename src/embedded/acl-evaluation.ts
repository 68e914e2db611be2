/**
 * How EMQX 5 reads the `acl` list of an authentication answer. It stands in for the broker on a laptop and is written
 * from the broker's observed behaviour alone, so that it can hold the makers of such lists to account.
 */

/** One entry, in any of the spellings that EMQX takes. */
export interface AclRule {
  readonly permission: 'allow' | 'deny';
  readonly action: 'publish' | 'pub' | 'subscribe' | 'sub' | 'all';
  readonly topic?: string;
  readonly topics?: readonly string[];
  readonly qos?: number | string | readonly (number | string)[] | null;
  readonly retain?: boolean | number | string | null;
}

export interface AclRequest {
  readonly action: 'publish' | 'subscribe';
  /** The topic, or the filter as the client sent it. */
  readonly topic: string;
  readonly qos: number;
  readonly retain?: boolean;
}

/** `nomatch`: no entry speaks of the request; the broker asks its next source. */
export type AclVerdict = 'allow' | 'deny' | 'nomatch';

const PERMISSIONS: readonly unknown[] = ['allow', 'deny'];
const ACTIONS: readonly unknown[] = ['publish', 'pub', 'subscribe', 'sub', 'all'];
const RETAIN = new Map<unknown, boolean | null>([
  [undefined, null], [null, null], ['all', null],
  [true, true], [1, true], ['1', true], ['true', true],
  [false, false], [0, false], ['0', false], ['false', false],
]);

/** Whether EMQX would take `value` as a list; one bad entry makes it refuse the whole connection. */
export function isAcl(value: unknown): value is readonly AclRule[] {
  return Array.isArray(value) && value.every(isAclRule);
}

/** The first entry that matches decides. `acl` must have passed `isAcl`. */
export function evaluateAcl(acl: readonly AclRule[], request: AclRequest): AclVerdict {
  const topic = request.action === 'subscribe' ? withoutRootPrefix(request.topic) : request.topic;
  if (topic === null) return 'deny';
  const asked = topic.split('/');
  const rule = acl.find((entry) => coversAction(entry, request) && topicsOf(entry).some((t) => coversTopic(t, asked)));
  return rule?.permission ?? 'nomatch';
}

function coversAction(rule: AclRule, request: AclRequest): boolean {
  const short = request.action === 'publish' ? 'pub' : 'sub';
  if (rule.action !== 'all' && rule.action !== request.action && rule.action !== short) return false;
  if (!(qosOf(rule.qos) ?? []).includes(request.qos)) return false;
  // A subscription has no retain flag; an entry's is not looked at for one.
  const retain = RETAIN.get(rule.retain);
  return request.action === 'subscribe' || retain === null || retain === (request.retain ?? false);
}

/** Words against words: a wildcard of the request is a word like any other, a wildcard of the entry is not. */
function coversTopic(entry: string, asked: readonly string[]): boolean {
  if (entry.startsWith('eq ')) return entry.slice(3) === asked.join('/');
  const words = entry.split('/');
  if ((words[0] === '+' || words[0] === '#') && asked[0]?.startsWith('$')) return false;
  const open = words.at(-1) === '#';
  const fixed = open ? words.slice(0, -1) : words;
  if (open ? asked.length < fixed.length : asked.length !== fixed.length) return false;
  return fixed.every((word, index) => word === '+' || word === asked[index]);
}

/** EMQX cuts these off before it looks at any rule. Null for what it refuses as malformed. */
function withoutRootPrefix(filter: string): string | null {
  const [root, second, ...rest] = filter.split('/');
  if (root === '$share') {
    if (!second || /[+#]/.test(second) || rest.length === 0) return null;
    return insideShare(rest.join('/'));
  }
  if (root === '$queue' && second !== undefined) return insideShare([second, ...rest].join('/'));
  if (root === '$exclusive' && second !== undefined) return [second, ...rest].join('/') || null;
  return filter;
}

function insideShare(filter: string): string | null {
  return filter === '' || filter.startsWith('$share/') || filter.startsWith('$queue/') ? null : filter;
}

function topicsOf(rule: AclRule): readonly string[] {
  return rule.topic === undefined ? (rule.topics ?? []) : [rule.topic];
}

function isAclRule(value: unknown): value is AclRule {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const { permission, action, topic, topics, qos, retain } = value as Record<string, unknown>;
  const named: unknown = topic === undefined ? topics : [topic];
  return (
    PERMISSIONS.includes(permission) &&
    ACTIONS.includes(action) &&
    Array.isArray(named) &&
    // Placeholders of the broker are not rendered here; a list that uses them is not one of ours.
    named.every((item) => typeof item === 'string' && !item.includes('${')) &&
    qosOf(qos) !== null &&
    RETAIN.has(retain)
  );
}

/** The QoS levels that an entry speaks of, or null if EMQX would not read it. */
function qosOf(qos: unknown): number[] | null {
  if (qos === undefined || qos === null) return [0, 1, 2];
  const items: unknown[] = Array.isArray(qos) ? qos : typeof qos === 'string' ? qos.split(',') : [qos];
  const levels = items.map((item) => [0, 1, 2].find((level) => item === level || item === String(level)));
  return levels.every((level) => level !== undefined) ? levels : null;
}
