interface Node<K, V> {
  readonly key: K;
  value: V;
  newer: Node<K, V> | undefined;
  older: Node<K, V> | undefined;
}

/**
 * A map that holds at most `capacity` entries and drops the one used longest ago. The order is kept in
 * a list of its own: the first key of a `Map` whose first keys were just deleted is found only by
 * walking over all of them, 25 µs at 50,000 entries.
 */
export class Lru<K, V> {
  private readonly nodes = new Map<K, Node<K, V>>();
  private newest: Node<K, V> | undefined;
  private oldest: Node<K, V> | undefined;

  constructor(private readonly capacity: number) {
    if (!Number.isSafeInteger(capacity) || capacity < 1) throw new RangeError(`capacity must be a whole number: ${capacity}`);
  }

  get size(): number {
    return this.nodes.size;
  }

  /** Reads and marks as used. */
  get(key: K): V | undefined {
    const node = this.nodes.get(key);
    if (node === undefined) return undefined;
    if (node !== this.newest) {
      this.unlink(node);
      this.append(node);
    }
    return node.value;
  }

  /** Reads without marking. */
  peek(key: K): V | undefined {
    return this.nodes.get(key)?.value;
  }

  /** Writes and marks as used. */
  set(key: K, value: V): void {
    const known = this.nodes.get(key);
    if (known !== undefined) {
      known.value = value;
      this.unlink(known);
      this.append(known);
      return;
    }
    if (this.nodes.size >= this.capacity && this.oldest !== undefined) this.delete(this.oldest.key);
    const node: Node<K, V> = { key, value, newer: undefined, older: undefined };
    this.nodes.set(key, node);
    this.append(node);
  }

  delete(key: K): boolean {
    const node = this.nodes.get(key);
    if (node === undefined) return false;
    this.nodes.delete(key);
    this.unlink(node);
    return true;
  }

  clear(): void {
    this.nodes.clear();
    this.newest = undefined;
    this.oldest = undefined;
  }

  private append(node: Node<K, V>): void {
    node.older = this.newest;
    node.newer = undefined;
    if (this.newest === undefined) this.oldest = node;
    else this.newest.newer = node;
    this.newest = node;
  }

  private unlink(node: Node<K, V>): void {
    if (node.older === undefined) this.oldest = node.newer;
    else node.older.newer = node.newer;
    if (node.newer === undefined) this.newest = node.older;
    else node.newer.older = node.older;
  }
}
