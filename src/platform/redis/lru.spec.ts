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
  it('holds the same entries after any mix of operations', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom('get', 'set', 'delete', 'peek'), fc.integer({ min: 0, max: 6 })), { maxLength: 200 }),
        (steps) => {
          const lru = new Lru<number, number>(4);
          let model: [number, number][] = [];
          steps.forEach(([operation, key], step) => {
            const held = model.find(([each]) => each === key);
            const others = model.filter(([each]) => each !== key);
            if (operation === 'get') {
              expect(lru.get(key)).toBe(held?.[1]);
              if (held) model = [...others, held];
            } else if (operation === 'peek') {
              expect(lru.peek(key)).toBe(held?.[1]);
            } else if (operation === 'delete') {
              expect(lru.delete(key)).toBe(held !== undefined);
              model = others;
            } else {
              lru.set(key, step);
              model = [...others, [key, step] as [number, number]].slice(-4);
            }
            expect(lru.size).toBe(model.length);
          });
          expect([0, 1, 2, 3, 4, 5, 6].map((key) => lru.peek(key))).toEqual(
            [0, 1, 2, 3, 4, 5, 6].map((key) => model.find(([each]) => each === key)?.[1]),
          );
        },
      ),
    );
  });
});
