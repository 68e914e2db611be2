/** Topic arithmetic of the embedded broker; shares no code with the makers of the rules, whom it helps to test. */

/** Where denied messages go: no filter reaches it, see `isBrokerOwn`. */
export const DENIED_TOPIC = '$portcullis/denied';

/** Whether a client may publish to `topic` at all: not empty, no wildcard, no U+0000 (MQTT 3.1.1 §4.7.1, §4.7.3). */
export function isTopicName(topic: string): boolean {
  return topic.length > 0 && !/[+#\0]/.test(topic);
}

/** Whether `filter` is well formed (MQTT 3.1.1 §4.7.1): a wildcard fills its level, `#` stands last. */
export function isTopicFilter(filter: string): boolean {
  if (filter.length === 0 || filter.includes('\0')) return false;
  const levels = filter.split('/');
  return levels.every((level, index) => {
    if (level === '#') return index === levels.length - 1;
    return level === '+' || !/[+#]/.test(level);
  });
}

/** Topics of the broker itself. Nobody publishes or subscribes there, whatever a callback says. */
export function isBrokerOwn(topic: string): boolean {
  const root = topic.split('/', 1)[0];
  return root === '$SYS' || root === '$portcullis';
}

/** Filters with a meaning in EMQX that this broker cannot give them. */
export function isPrefixed(filter: string): boolean {
  return /^\$(share|queue|exclusive)\//.test(filter);
}

/** The filter that EMQX would show its authorizer: `$share/<group>/`, `$queue/` and `$exclusive/` cut off. */
export function withoutPrefix(filter: string): string {
  return filter.replace(/^\$(share\/[^/]*|queue|exclusive)\//, '');
}

/** Whether a message to a topic reaches a filter, both cut at `/` (MQTT 3.1.1 §4.7). */
export function reaches(filter: readonly string[], topic: readonly string[]): boolean {
  if ((filter[0] === '+' || filter[0] === '#') && topic[0]?.startsWith('$')) return false;
  for (const [index, level] of filter.entries()) {
    // `a/#` includes `a` itself.
    if (level === '#') return topic.length >= index;
    if (index >= topic.length || (level !== '+' && level !== topic[index])) return false;
  }
  return filter.length === topic.length;
}
