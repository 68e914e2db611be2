/**
 * Topics by enumeration: the matching rules of MQTT 5 §4.7 spelled out word by word, and containment as a comparison
 * of the sets of topics themselves. Slow and obvious on purpose; the real engine is measured against it.
 */

/** Every list of 1 to `depth` levels over `alphabet`, joined; the empty text is no topic. */
export function allTopics(alphabet: readonly string[], depth: number): string[] {
  const topics: string[] = [];
  let layer: string[][] = [[]];
  for (let length = 1; length <= depth; length++) {
    layer = layer.flatMap((levels) => alphabet.map((level) => [...levels, level]));
    topics.push(...layer.map((levels) => levels.join('/')).filter((topic) => topic !== ''));
  }
  return topics;
}

/** Every legal filter of 1 to `depth` levels over `alphabet`, `+` and `#`. */
export function allFilters(alphabet: readonly string[], depth: number): string[] {
  const closed = allTopics([...alphabet, '+'], depth);
  const bases = allTopics([...alphabet, '+'], depth - 1).map((base) => `${base}/`);
  // An empty level alone is no topic, but "/#" is a filter.
  if (alphabet.includes('')) bases.push('/');
  return [...closed, '#', ...bases.map((base) => `${base}#`)];
}

/** Whether a subscriber of `filter` receives a message on `topic`. */
export function bruteForceMatches(filter: string, topic: string): boolean {
  if (topic.startsWith('$') && (filter.startsWith('+') || filter.startsWith('#'))) return false;
  return levelsMatch(filter.split('/'), topic.split('/'));
}

function levelsMatch([wanted, ...filter]: readonly string[], topic: readonly string[]): boolean {
  if (wanted === undefined) return topic.length === 0;
  if (wanted === '#') return true;
  const [level, ...rest] = topic;
  if (level === undefined) return false;
  return (wanted === '+' || wanted === level) && levelsMatch(filter, rest);
}

/** The set of `universe` topics that each filter matches, with inclusion between two of the sets. */
export class TopicSets {
  private readonly sets = new Map<string, Uint32Array>();

  constructor(
    filters: readonly string[],
    private readonly universe: readonly string[],
  ) {
    for (const filter of filters) this.sets.set(filter, this.setOf(filter));
  }

  isSubset(requested: string, granted: string): boolean {
    const inner = this.of(requested);
    const outer = this.of(granted);
    for (let i = 0; i < inner.length; i++) {
      if (((inner[i] ?? 0) & ~(outer[i] ?? 0)) !== 0) return false;
    }
    return true;
  }

  private of(filter: string): Uint32Array {
    const set = this.sets.get(filter);
    if (set === undefined) throw new Error(`no set for ${filter}`);
    return set;
  }

  private setOf(filter: string): Uint32Array {
    const set = new Uint32Array(Math.ceil(this.universe.length / 32));
    this.universe.forEach((topic, index) => {
      if (bruteForceMatches(filter, topic)) set[index >> 5] = (set[index >> 5] ?? 0) | (1 << (index & 31));
    });
    return set;
  }
}
