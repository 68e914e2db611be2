import { Distrust } from './distrust.js';

describe('Distrust', () => {
  it('covers what was confirmed until the notice, of that name alone', () => {
    const distrust = new Distrust(10, 1_000);
    distrust.note('a', 100);
    expect([99, 100, 101].map((at) => distrust.covers('a', at))).toEqual([true, true, false]);
    expect(distrust.covers('b', 100)).toBe(false);
  });

  it('goes by the last notice of a name', () => {
    const distrust = new Distrust(10, 1_000);
    distrust.note('a', 100);
    distrust.note('a', 200);
    expect(distrust.covers('a', 150)).toBe(true);
  });

  it('never believes again what it had no room to remember', () => {
    const distrust = new Distrust(2, 1_000);
    for (const [name, at] of [['a', 100], ['b', 200], ['c', 300]] as const) distrust.note(name, at);
    expect(distrust.covers('a', 100)).toBe(true);
    expect(distrust.covers('b', 200)).toBe(true);
    // The price: others from before that moment are asked for anew.
    expect(distrust.covers('d', 100)).toBe(true);
    expect(distrust.covers('d', 101)).toBe(false);
  });

  it('forgets what nobody can hold any more, without a price', () => {
    const distrust = new Distrust(2, 1_000);
    distrust.note('a', 100);
    distrust.note('b', 200);
    distrust.note('c', 1_150);
    expect(distrust.covers('d', 100)).toBe(false);
    expect(distrust.covers('b', 200)).toBe(true);
  });
});
