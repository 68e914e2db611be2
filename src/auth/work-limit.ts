/** Lets a few pieces of slow work run at a time and a bounded number wait for their turn, first come, first served. */
export class WorkLimit {
  private running = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(
    private readonly concurrent: number,
    private readonly queue: number,
    private readonly refusal: () => Error,
  ) {}

  /** @throws what `refusal` makes when the queue is full. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.running < this.concurrent) this.running += 1;
    else await this.turn();
    try {
      return await work();
    } finally {
      const next = this.waiting.shift();
      // The place is handed on, not freed: nobody can slip in between.
      if (next) next();
      else this.running -= 1;
    }
  }

  private turn(): Promise<void> {
    if (this.waiting.length >= this.queue) throw this.refusal();
    return new Promise((resolve) => this.waiting.push(resolve));
  }
}
