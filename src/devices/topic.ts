/** Topic names and topic filters of MQTT 5 (§4.7, §4.8.2): what is legal, what matches, what contains what. */

const MAX_BYTES = 65_535;
/** Deeper topics are refused: EMQX stops there too (`mqtt.max_topic_levels`), and it bounds the work per request. */
const MAX_LEVELS = 128;

const SLASH = 0x2f;
const PLUS = 0x2b;
const HASH = 0x23;
const DOLLAR = 0x24;

/** A filter cut into levels. A closing `#` is not among `levels`; `open` stands for it. */
export interface TopicFilter {
  readonly text: string;
  readonly levels: readonly string[];
  readonly open: boolean;
}

/** What a client's SUBSCRIBE names once a `$share/<group>/` in front is taken off. */
export type Subscription =
  | { readonly kind: 'plain'; readonly filter: string }
  | { readonly kind: 'shared'; readonly group: string; readonly filter: string }
  | { readonly kind: 'refused'; readonly reason: 'TOPIC_INVALID' | 'TOPIC_RESERVED' };

/** Whether `text` is a legal topic name: 1 to 65535 bytes of UTF-8, no wildcard, at most 128 levels. */
export function isTopicName(text: string): boolean {
  return splitName(text) !== null;
}

/** Whether `text` is a legal topic filter: `#` last and alone in its level, `+` alone in its level. */
export function isTopicFilter(text: string): boolean {
  return splitLevels(text, true) !== null;
}

/** The levels of a topic name, or null if it is not a legal one. */
export function splitName(text: string): string[] | null {
  return splitLevels(text, false);
}

/** A topic filter cut into levels, or null if it is not a legal one. A topic name is a filter too. */
export function parseFilter(text: string): TopicFilter | null {
  const levels = splitLevels(text, true);
  if (levels === null) return null;
  const open = levels[levels.length - 1] === '#';
  if (open) levels.pop();
  return { text, levels, open };
}

/** Whether a topic begins with `$`: the server's own topics (§4.7.2). */
export function isReserved(text: string): boolean {
  return text.charCodeAt(0) === DOLLAR;
}

/** Whether a message to `topic` reaches a subscriber of `filter`. False if either of them is illegal. */
export function matches(filter: string, topic: string): boolean {
  const granted = parseFilter(filter);
  const levels = splitName(topic);
  return granted !== null && levels !== null && covers(granted, { text: topic, levels, open: false });
}

/**
 * Whether every topic that `requested` can match is matched by `granted` as well. Exact for any two legal filters;
 * false if either of them is illegal.
 */
export function isSubset(requested: string, granted: string): boolean {
  const inner = parseFilter(requested);
  const outer = parseFilter(granted);
  return inner !== null && outer !== null && covers(outer, inner);
}

/** `isSubset` for filters that are cut already. */
export function covers(granted: TopicFilter, requested: TopicFilter): boolean {
  if (!coversLevels(granted.levels, granted.open, requested.levels, requested.open)) return false;
  // A wildcard in the first level matches no topic that begins with "$" (§4.7.2).
  return !isReserved(requested.text) || isReserved(granted.text);
}

/**
 * The subset test without the `$` rule, for callers that have refused `$` topics already. Levels as in `TopicFilter`.
 */
export function coversLevels(
  granted: readonly string[],
  grantedOpen: boolean,
  requested: readonly string[],
  requestedOpen: boolean,
): boolean {
  const depth = granted.length;
  if (!grantedOpen) {
    if (requestedOpen || requested.length !== depth) return false;
  } else if (requested.length < depth) {
    return requestedOpen && requested.length === depth - 1 && coversParentless(granted, requested);
  }
  // From the end: filters of one device differ in their last levels.
  for (let i = depth - 1; i >= 0; i--) {
    const level = granted[i];
    if (level !== '+' && level !== requested[i]) return false;
  }
  return true;
}

/**
 * Whether `x/+/#` holds all of `x/#`. As a rule it does not, since `x/#` means `x` itself as well (§4.7.1.2). But
 * where `x` is no topic there is nothing to miss: `#` lies within `+/#`, and `/#` within `/+/#` and `+/+/#`.
 */
function coversParentless(granted: readonly string[], requested: readonly string[]): boolean {
  if (granted[requested.length] !== '+') return false;
  if (requested.length === 0) return true;
  return requested.length === 1 && requested[0] === '' && (granted[0] === '' || granted[0] === '+');
}

/**
 * Takes `$share/<group>/` off a requested filter (§4.8.2). Every other `$` in the first level is refused, before and
 * behind the group: `$queue/…` and `$exclusive/…` never arrive here from EMQX, which takes them off itself.
 */
export function stripShare(filter: string): Subscription {
  if (!isReserved(filter)) {
    return isTopicFilter(filter) ? { kind: 'plain', filter } : INVALID;
  }
  if (!filter.startsWith('$share/')) return RESERVED;
  const groupEnd = filter.indexOf('/', 7);
  if (groupEnd === -1) return INVALID;
  const group = filter.slice(7, groupEnd);
  const rest = filter.slice(groupEnd + 1);
  if (!isTopicName(group)) return INVALID;
  if (isReserved(rest)) return RESERVED;
  return isTopicFilter(rest) ? { kind: 'shared', group, filter: rest } : INVALID;
}

const INVALID: Subscription = { kind: 'refused', reason: 'TOPIC_INVALID' };
const RESERVED: Subscription = { kind: 'refused', reason: 'TOPIC_RESERVED' };

/**
 * One pass that judges and cuts. Refuses NUL and the other C0 and C1 controls (§1.5.4 lets a server close on them)
 * and lone surrogates, which have no UTF-8 form.
 */
function splitLevels(text: string, wildcards: boolean): string[] | null {
  const length = text.length;
  if (length === 0 || length > MAX_BYTES) return null;
  const levels: string[] = [];
  let bytes = length;
  let start = 0;
  let wildcard = 0;
  for (let i = 0; i <= length; i++) {
    const unit = i === length ? SLASH : text.charCodeAt(i);
    if (unit === SLASH) {
      if (wildcard !== 0 && (i - start !== 1 || (wildcard === HASH && i !== length))) return null;
      if (levels.length === MAX_LEVELS) return null;
      levels.push(text.slice(start, i));
      start = i + 1;
      wildcard = 0;
    } else if (unit === PLUS || unit === HASH) {
      if (!wildcards) return null;
      wildcard = unit;
    } else if (unit < 0x20 || (unit >= 0x7f && unit <= 0x9f)) {
      return null;
    } else if (unit >= 0x80) {
      if (unit >= 0xd800 && unit <= 0xdfff) {
        const low = text.charCodeAt(i + 1);
        if (unit > 0xdbff || !(low >= 0xdc00 && low <= 0xdfff)) return null;
        i += 1;
        bytes += 2;
      } else {
        bytes += unit < 0x800 ? 1 : 2;
      }
    }
  }
  return bytes > MAX_BYTES ? null : levels;
}
