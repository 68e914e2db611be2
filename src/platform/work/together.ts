import { outsideRequests } from '../context/request-context.js';

export interface TogetherOptions<Item, Result> {
  /** Items of one group may be done together. */
  readonly groupOf: (item: Item) => string;
  /** Two items of one name never go together. */
  readonly nameOf: (item: Item) => string;
  /** Outside of any request: whatever is asked for belongs to several. Answers a result or a refusal for each, in order. */
  readonly work: (items: readonly Item[]) => Promise<readonly (Result | Error)[]>;
  /** Whether one of the items may be to blame for the failure of all: then each is done once more alone. */
  readonly blamesOne: (error: unknown) => boolean;
  /** So many in one go. */
  readonly most: number;
  /** So many goes at once. */
  readonly concurrent: number;
  /** So many may wait. */
  readonly queue: number;
  /** Of what comes when the queue is full. */
  readonly refusal: () => Error;
}

interface Entry<Item, Result> {
  readonly item: Item;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Does together what is asked for at the same moment: what many would pay one by one, such as a transaction, is paid once. Nobody waits
 * for company: as long as there is room, an item goes at once, alone; what comes while all goes are under way leaves with the next one,
 * first come, first served. Where a go fails as a whole and one of its items may be to blame, each is done once more alone, so that
 * nobody fails for another's sake.
 */
export class Together<Item, Result> {
  private readonly waiting: Entry<Item, Result>[] = [];
  private running = 0;

  constructor(private readonly options: TogetherOptions<Item, Result>) {}

  /** @throws what became of the item, or what `refusal` makes */
  run(item: Item): Promise<Result> {
    if (this.waiting.length >= this.options.queue) throw this.options.refusal();
    return new Promise((resolve, reject) => {
      this.waiting.push({ item, resolve, reject });
      outsideRequests(() => this.go());
    });
  }

  private go(): void {
    while (this.running < this.options.concurrent && this.waiting.length > 0) {
      this.running += 1;
      void this.finish(this.take()).finally(() => {
        this.running -= 1;
        this.go();
      });
    }
  }

  /** The first in the line, and who may go with it. */
  private take(): Entry<Item, Result>[] {
    const { groupOf, nameOf, most } = this.options;
    const taken: Entry<Item, Result>[] = [];
    const names = new Set<string>();
    let group: string | null = null;
    for (let at = 0; at < this.waiting.length && taken.length < most;) {
      const entry = this.waiting[at] as Entry<Item, Result>;
      group ??= groupOf(entry.item);
      const name = nameOf(entry.item);
      if (groupOf(entry.item) !== group || names.has(name)) {
        at += 1;
        continue;
      }
      names.add(name);
      taken.push(entry);
      this.waiting.splice(at, 1);
    }
    return taken;
  }

  private async finish(entries: readonly Entry<Item, Result>[]): Promise<void> {
    try {
      const results = await this.options.work(entries.map(({ item }) => item));
      for (const [index, { resolve, reject }] of entries.entries()) {
        const result = results[index] as Result | Error;
        if (result instanceof Error) reject(result);
        else resolve(result);
      }
    } catch (error) {
      if (entries.length === 1 || !this.options.blamesOne(error)) for (const { reject } of entries) reject(error);
      else for (const entry of entries) await this.finish([entry]);
    }
  }
}
