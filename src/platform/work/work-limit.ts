/** Whose work it is: somebody who has shown who they are before (a session, a genuine link, a browser that we know), or anybody. */
export type Caller = 'known' | 'anybody';

/**
 * Lets a few pieces of slow work run at a time and a bounded number wait for their turn, first come, first served. Known callers wait
 * in a line of their own, which goes first: a crowd of strangers cannot fill it.
 */
export class WorkLimit {
  private running = 0;
  private readonly waiting: Readonly<Record<Caller, (() => void)[]>> = { known: [], anybody: [] };

  /** @param queue how many of each kind may wait */
  constructor(
    private readonly concurrent: number,
    private readonly queue: number,
    private readonly refusal: () => Error,
  ) {}

  /** @throws what `refusal` makes when the caller's line is full. */
  async run<T>(work: () => Promise<T>, caller: Caller): Promise<T> {
    if (this.running < this.concurrent) this.running += 1;
    else await this.turn(caller);
    try {
      return await work();
    } finally {
      const next = this.waiting.known.shift() ?? this.waiting.anybody.shift();
      // The place is handed on, not freed: nobody can slip in between.
      if (next) next();
      else this.running -= 1;
    }
  }

  private turn(caller: Caller): Promise<void> {
    const line = this.waiting[caller];
    if (line.length >= this.queue) throw this.refusal();
    return new Promise((resolve) => line.push(resolve));
  }
}
