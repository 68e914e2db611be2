import type { Clock } from '../clock/clock.js';

const RETRY_MS = 250;
/** Beyond so many the rest is left to the caches' own `freshMs`. */
const MAX_OWED = 10_000;

/**
 * Invalidations that the store did not take. Each is offered again, in order, until it is taken or
 * `keepMs` have gone by: nothing that it could outdate is served after that.
 */
export class InvalidationOutbox {
  private readonly owed = new Map<string, { readonly version: number; readonly until: number }>();
  private timer: NodeJS.Timeout | undefined;

  /** `deliver` answers whether the store took it. */
  constructor(
    private readonly clock: Clock,
    private readonly keepMs: number,
    private readonly deliver: (id: string, version: number) => Promise<boolean>,
  ) {}

  get size(): number {
    return this.owed.size;
  }

  add(id: string, version: number): void {
    const known = this.owed.get(id);
    if (known === undefined && this.owed.size >= MAX_OWED) return;
    this.owed.set(id, { version: Math.max(version, known?.version ?? 0), until: this.clock.now() + this.keepMs });
    this.schedule();
  }

  /** Offers everything now, without waiting for the timer; stops at the first that is not taken. */
  async flush(): Promise<void> {
    for (const [id, entry] of [...this.owed]) {
      if (entry.until > this.clock.now() && !(await this.deliver(id, entry.version))) break;
      if (this.owed.get(id) === entry) this.owed.delete(id);
    }
    this.schedule();
  }

  private schedule(): void {
    if (this.timer !== undefined || this.owed.size === 0) return;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      void this.flush();
    }, RETRY_MS);
    this.timer.unref();
  }
}
