import fc from 'fast-check';
import { Lru } from './lru.js';

describe('Lru', () => {
  it('drops what was used longest ago, reading counted as use and peeking not', () => {
    const lru = new Lru<string, number>(2);
    lru.set('a', 1);
    lru.set('b', 2);
    lru.get('a');
    lru.peek('b');
    lru.set('c', 3);
    expect([lru.peek('a'), lru.peek('b'), lru.peek('c'), lru.size]).toEqual([1, undefined, 3, 2]);
  });

  it('writing a key again makes it the newest and takes no more room', () => {
    const lru = new Lru<string, number>(2);
    lru.set('a', 1);
    lru.set('b', 2);
    lru.set('a', 3);
    lru.set('c', 4);
    expect([lru.peek('a'), lru.peek('b'), lru.peek('c')]).toEqual([3, undefined, 4]);
    expect(lru.delete('a')).toBe(true);
    lru.clear();
    expect(lru.size).toBe(0);
  });

  it('refuses a capacity that holds nothing', () => {
    expect(() => new Lru(0)).toThrow(RangeError);
  });
});

describe('Lru against a plain model', () => {
  /** Oldest first; `stretch` as the class counts it. */
  type Model = { key: number; value: number; stretch: number }[];

  it.each([4, 200])('of %p entries holds the same after any mix of operations', (capacity) => {
    const keys = Array.from({ length: capacity * 2 }, (_, key) => key);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom('get', 'set', 'delete', 'peek'), fc.integer({ min: 0, max: keys.length - 1 })), { size: 'large', maxLength: 600 }),
        (steps) => {
          const lru = new Lru<number, number>(capacity);
          let model: Model = [];
          let added = 0;
          const now = () => Math.floor(added / Math.max(1, capacity >> 6));
          steps.forEach(([operation, key], step) => {
            const held = model.find((each) => each.key === key);
            const others = model.filter((each) => each.key !== key);
            if (operation === 'get') {
              expect(lru.get(key)).toBe(held?.value);
              if (held && held.stretch !== now()) model = [...others, { ...held, stretch: now() }];
            } else if (operation === 'peek') {
              expect(lru.peek(key)).toBe(held?.value);
            } else if (operation === 'delete') {
              expect(lru.delete(key)).toBe(held !== undefined);
              model = others;
            } else {
              lru.set(key, step);
              if (!held) added += 1;
              model = [...others, { key, value: step, stretch: now() }].slice(-capacity);
            }
            expect(lru.size).toBe(model.length);
          });
          expect(keys.map((key) => lru.peek(key))).toEqual(keys.map((key) => model.find((each) => each.key === key)?.value));
        },
      ),
      { numRuns: 50 },
    );
  });

  it('never drops who was used in a later stretch than another', () => {
    const lru = new Lru<number, string>(128);
    for (let key = 0; key < 128; key += 1) lru.set(key, 'first');
    for (let round = 0; round < 50; round += 1) {
      for (let key = 0; key < 64; key += 1) expect(lru.get(key)).toBe('first');
      lru.set(1_000 + 2 * round, 'later');
      lru.set(1_001 + 2 * round, 'later');
    }
    expect(lru.size).toBe(128);
  });
});
