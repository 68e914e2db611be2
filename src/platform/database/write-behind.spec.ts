import { WriteBehind, type Noted } from './write-behind.js';

interface Value extends Noted {
  readonly at: number;
}

class Uses extends WriteBehind<Value> {
  readonly written: [string, string, number][][] = [];
  /** Runs inside of a write, before it is carried out. */
  during: () => Promise<void> | void = () => undefined;

  constructor(options: { most?: number; batch?: number } = {}) {
    super({ what: 'uses', everyMs: 3_600_000, most: options.most ?? 100, batch: options.batch ?? 100 });
  }

  note(key: string, tenantId: string, at: number): void {
    this.keep(key, { tenantId, at });
  }

  unwritten(key: string): number | undefined {
    return this.kept(key)?.at;
  }

  protected async write(tenantId: string, values: ReadonlyMap<string, Value>): Promise<void> {
    await this.during();
    this.written.push([...values].map(([key, { at }]) => [tenantId, key, at]));
  }
}

describe('values that are written behind', () => {
  it('are written the latest of each key only, by tenant, in batches', async () => {
    const uses = new Uses({ batch: 2 });
    uses.note('a', 'one', 1);
    uses.note('x', 'two', 1);
    uses.note('a', 'one', 2);
    uses.note('b', 'one', 3);
    uses.note('c', 'one', 4);
    await uses.flush();
    expect(uses.written).toEqual([[['one', 'a', 2], ['one', 'b', 3]], [['one', 'c', 4]], [['two', 'x', 1]]]);
    await uses.flush();
    expect(uses.written).toHaveLength(3);
  });

  it('are kept where the write failed, and never replace a later one', async () => {
    const uses = new Uses();
    uses.note('a', 'one', 1);
    uses.note('b', 'one', 1);
    uses.during = () => {
      uses.note('b', 'one', 2);
      throw new Error('the store is away');
    };
    await uses.flush();
    expect([uses.unwritten('a'), uses.unwritten('b')]).toEqual([1, 2]);
    uses.during = () => undefined;
    await uses.flush();
    expect(uses.written).toEqual([[['one', 'b', 2], ['one', 'a', 1]]]);
  });

  it('are written by whoever asks for it, though a write is under way that had begun without them', async () => {
    const uses = new Uses();
    let release: () => void = () => undefined;
    uses.during = () => new Promise((resolve) => (release = resolve));
    uses.note('a', 'one', 1);
    const before = uses.flush();
    await Promise.resolve();
    uses.note('b', 'one', 2);
    const asked = uses.flush();
    uses.during = () => undefined;
    release();
    await Promise.all([before, asked]);
    expect(uses.written).toEqual([[['one', 'a', 1]], [['one', 'b', 2]]]);
  });

  it('are bounded: beyond that, new keys are forgotten and known ones still noted', async () => {
    const uses = new Uses({ most: 2 });
    for (const key of ['a', 'b', 'c']) uses.note(key, 'one', 1);
    uses.note('a', 'one', 9);
    await uses.flush();
    expect(uses.written).toEqual([[['one', 'a', 9], ['one', 'b', 1]]]);
  });

  it('are written at shutdown, those too that came while a write was under way', async () => {
    const uses = new Uses();
    uses.onModuleInit();
    uses.note('a', 'one', 1);
    let first = true;
    uses.during = () => {
      if (first) uses.note('b', 'one', 2);
      first = false;
    };
    await uses.beforeApplicationShutdown();
    expect(uses.written.flat()).toEqual([['one', 'a', 1], ['one', 'b', 2]]);
  });
});
