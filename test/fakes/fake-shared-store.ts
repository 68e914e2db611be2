import { StoreUnavailableError, type Versioned } from '../../src/platform/redis/key-value.js';
import { MemoryStore } from '../../src/platform/redis/memory-store.js';

type Operation = 'readVersioned' | 'writeIfNewer' | 'publish' | 'countInWindow' | 'spend';

/** A store that says it is shared and does what a test orders: die, fall deaf, or wait at a chosen operation. */
export class FakeSharedStore extends MemoryStore {
  override readonly shared: boolean = true;
  /** False: every operation fails. */
  alive = true;
  /** What `available` says; as in life it may lag behind `alive`. */
  believedAlive = true;
  readonly calls: Operation[] = [];
  private up = true;
  private readonly watchers: ((up: boolean) => void)[] = [];
  private readonly gates = new Map<Operation, Promise<void>>();

  override get available(): boolean {
    return this.believedAlive;
  }

  override get subscribed(): boolean {
    return this.up;
  }

  override onSubscription(handler: (up: boolean) => void): void {
    this.watchers.push(handler);
  }

  /** Loses or regains the subscription; what is published while it is lost is heard by nobody. */
  setSubscribed(up: boolean): void {
    this.up = up;
    for (const watcher of this.watchers) watcher(up);
  }

  /** Redis is gone altogether, or back. */
  setGone(gone: boolean): void {
    this.alive = !gone;
    this.believedAlive = !gone;
    this.setSubscribed(!gone);
  }

  /** From now on the operation does its work and then waits to answer until the returned function is called. */
  holdAnswersOf(operation: Operation): () => void {
    let open: () => void = () => undefined;
    this.gates.set(operation, new Promise((resolve) => (open = resolve)));
    return () => {
      this.gates.delete(operation);
      open();
    };
  }

  override readVersioned(key: string): Promise<Versioned | null> {
    return this.act('readVersioned', () => super.readVersioned(key));
  }

  override writeIfNewer(key: string, version: number, value: string | null, ttlMs: number): Promise<boolean> {
    return this.act('writeIfNewer', () => super.writeIfNewer(key, version, value, ttlMs));
  }

  override publish(channel: string, message: string): Promise<void> {
    return this.act('publish', () => (this.up ? super.publish(channel, message) : Promise.resolve()));
  }

  override countInWindow(key: string, windowMs: number): Promise<number> {
    return this.act('countInWindow', () => super.countInWindow(key, windowMs));
  }

  override spend(...given: Parameters<MemoryStore['spend']>): ReturnType<MemoryStore['spend']> {
    return this.act('spend', () => super.spend(...given));
  }

  private async act<T>(operation: Operation, work: () => Promise<T>): Promise<T> {
    this.calls.push(operation);
    if (!this.alive) throw new StoreUnavailableError('the test says so');
    const answer = await work();
    await this.gates.get(operation);
    return answer;
  }
}
