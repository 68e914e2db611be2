import { FakeClock } from '../../../test/fakes/fake-clock.js';
import { InvalidationOutbox } from './invalidation-outbox.js';

describe('InvalidationOutbox', () => {
  it('offers the highest version owed, until it is taken', async () => {
    const offered: [string, number][] = [];
    let taking = false;
    const outbox = new InvalidationOutbox(new FakeClock(), 60_000, async (id, version) => {
      offered.push([id, version]);
      return taking;
    });
    outbox.add('a', 3);
    outbox.add('a', 2);
    await outbox.flush();
    expect(outbox.size).toBe(1);
    taking = true;
    await outbox.flush();
    expect(offered).toEqual([['a', 3], ['a', 3]]);
    expect(outbox.size).toBe(0);
  });

  it('keeps what was raised while the lower version was on its way', async () => {
    const outbox: InvalidationOutbox = new InvalidationOutbox(new FakeClock(), 60_000, async (_, version) => {
      if (version === 1) outbox.add('a', 2);
      return true;
    });
    outbox.add('a', 1);
    await outbox.flush();
    expect(outbox.size).toBe(1);
    await outbox.flush();
    expect(outbox.size).toBe(0);
  });

  it('gives up when nothing that old is served any more', async () => {
    const clock = new FakeClock();
    const deliver = jest.fn(async () => false);
    const outbox = new InvalidationOutbox(clock, 60_000, deliver);
    outbox.add('a', 1);
    clock.advance(60_000);
    await outbox.flush();
    expect(outbox.size).toBe(0);
    expect(deliver).not.toHaveBeenCalled();
  });

  it('does not grow without bound', () => {
    const outbox = new InvalidationOutbox(new FakeClock(), 60_000, async () => false);
    for (let i = 0; i < 20_000; i += 1) outbox.add(`id-${i}`, 1);
    expect(outbox.size).toBe(10_000);
  });
});
