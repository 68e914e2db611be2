import { FakeClock } from '../../test/fakes/fake-clock.js';
import { FakeSharedStore } from '../../test/fakes/fake-shared-store.js';
import { MemoryStore } from '../platform/redis/memory-store.js';
import { RateLimitGate, type Refusal } from './rate-limit.gate.js';

const A = '0b8f0d2e-8f5c-4d8e-9a53-0d6a3f1c2b4a';
const B = '5d1c9a77-1f0e-4a52-8f0a-c1a2b3d4e5f6';
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('RateLimitGate', () => {
  let clock: FakeClock;
  let gate: RateLimitGate;

  beforeEach(() => {
    clock = new FakeClock();
    gate = new RateLimitGate(new MemoryStore({ clock }), clock, { policy: 'possession' });
  });

  const refusal = (given: Partial<Refusal>): Refusal => ({
    claimed: B, proven: null, address: '192.0.2.1', possession: false, at: clock.now(), ...given,
  });
  /** B is claimed with a valid proof of A's. */
  const stolen = (): Refusal => refusal({ proven: A, possession: true });
  const wrongSecret = (): Refusal => refusal({});

  describe('possession', () => {
    it('the tenth failure within five minutes suspends whom the proof names, once', () => {
      const told = Array.from({ length: 30 }, () => gate.count(stolen()).suspend);
      expect(told.slice(0, 10)).toEqual([...Array.from({ length: 9 }, () => null), A]);
      expect(told.slice(10).filter(Boolean)).toEqual([]);
    });

    it('nine in five minutes and one after do not', () => {
      for (let i = 0; i < 9; i += 1) gate.count(stolen());
      clock.advance(300_000);
      expect(gate.count(stolen()).suspend).toBeNull();
    });

    it('the five minutes slide', () => {
      const told: (string | null)[] = [];
      for (let i = 0; i < 9; i += 1) {
        told.push(gate.count(stolen()).suspend);
        clock.advance(33_000);
      }
      expect(told.filter(Boolean)).toEqual([]);
      expect(gate.count(stolen()).suspend).toBe(A);
    });

    it('no number of wrong secrets suspends anybody', () => {
      for (let i = 0; i < 1_000; i += 1) expect(gate.count(wrongSecret()).suspend).toBeNull();
    });

    it('whoever is only claimed is never suspended', () => {
      const told = Array.from({ length: 40 }, () => gate.count(stolen()).suspend);
      expect(told).not.toContain(B);
    });

    it('a proven identity without proof of misuse does not count: an own expired proof for one', () => {
      for (let i = 0; i < 50; i += 1) expect(gate.count(refusal({ claimed: A, proven: A })).suspend).toBeNull();
    });

    it('a service account is never suspended', () => {
      for (let i = 0; i < 50; i += 1) expect(gate.count(refusal({ proven: `svc:${A}`, possession: true })).suspend).toBeNull();
    });

    it('is told again after the count fell below the threshold', () => {
      for (let i = 0; i < 10; i += 1) gate.count(stolen());
      clock.advance(300_000);
      const told = Array.from({ length: 10 }, () => gate.count(stolen()).suspend);
      expect(told.filter(Boolean)).toEqual([A]);
    });

    it('a second crossing soon after the first is told', () => {
      const some = (): (string | null)[] => Array.from({ length: 5 }, () => gate.count(stolen()).suspend);
      some();
      clock.advance(200_000);
      expect(some()[4]).toBe(A);
      clock.advance(100_000);
      expect(some()[4]).toBe(A);
    });

    it('is told again when failures go on for a whole window: the suspension did not hold', () => {
      const told: (string | null)[] = [];
      for (let second = 0; second < 600; second += 1) {
        told.push(gate.count(stolen()).suspend);
        clock.advance(1_000);
      }
      expect(told.filter(Boolean)).toHaveLength(2);
    });

    it('after a reset the count begins anew', async () => {
      for (let i = 0; i < 9; i += 1) gate.count(stolen());
      expect(await gate.reset(A)).toBe(true);
      for (let i = 0; i < 9; i += 1) expect(gate.count(stolen()).suspend).toBeNull();
      expect(gate.count(stolen()).suspend).toBe(A);
    });
  });

  describe('strict', () => {
    beforeEach(() => {
      gate = new RateLimitGate(new MemoryStore({ clock }), clock, { policy: 'strict' });
    });

    it('everything counts against whom it claims to be', () => {
      const told = Array.from({ length: 10 }, () => gate.count(wrongSecret()).suspend);
      expect(told).toEqual([...Array.from({ length: 9 }, () => null), B]);
    });

    it('what was our own failure counts against nobody', () => {
      for (let i = 0; i < 20; i += 1) expect(gate.count(refusal({ claimed: A, ours: true })).suspend).toBeNull();
      const told = Array.from({ length: 9 }, () => gate.count(refusal({ claimed: A })).suspend);
      expect(told).toEqual(Array.from({ length: 9 }, () => null));
    });

    it('who claims nobody, or a text that is no id, counts against nobody', () => {
      for (let i = 0; i < 20; i += 1) {
        expect(gate.count(refusal({ claimed: null, proven: A, possession: true })).suspend).toBeNull();
        expect(gate.count(refusal({ claimed: 'x'.repeat(65) })).suspend).toBeNull();
      }
    });
  });

  describe('shedding', () => {
    it('begins when one address has failed often against one identity, and ends with the window', () => {
      const told = Array.from({ length: 25 }, () => gate.count(wrongSecret()).sheddable);
      expect(told).toEqual([...Array.from({ length: 20 }, () => false), ...Array.from({ length: 5 }, () => true)]);
      clock.advance(300_000);
      expect(gate.count(wrongSecret()).sheddable).toBe(false);
    });

    it('another address or another identity is not touched by it', () => {
      for (let i = 0; i < 50; i += 1) gate.count(wrongSecret());
      expect(gate.count(refusal({ address: '192.0.2.2' })).sheddable).toBe(false);
      expect(gate.count(refusal({ claimed: A })).sheddable).toBe(false);
      expect(gate.count(refusal({ claimed: null })).sheddable).toBe(false);
    });

    it('never touches what leads to a suspension, not even behind a flood', () => {
      for (let i = 0; i < 50; i += 1) gate.count(wrongSecret());
      const counts = Array.from({ length: 11 }, () => gate.count(stolen()));
      expect(counts.slice(0, 10).map(({ sheddable }) => sheddable)).toEqual(Array.from({ length: 10 }, () => false));
      expect(counts[10]?.sheddable).toBe(true);
    });
  });

  it('a million identities and addresses leave memory bounded', () => {
    const small = new RateLimitGate(new MemoryStore({ clock }), clock, { policy: 'strict', maxEntries: 5_000 });
    let largest = 0;
    for (let i = 0; i < 1_000_000; i += 1) {
      small.count(refusal({ claimed: `device-${i}`, address: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}` }));
      if (i % 1_000 === 0) largest = Math.max(largest, small.size);
    }
    expect(Math.max(largest, small.size)).toBeLessThanOrEqual(10_000);
  });

  describe('over a shared store', () => {
    let store: FakeSharedStore;
    let gates: [RateLimitGate, RateLimitGate];
    let late: string[];

    beforeEach(async () => {
      store = new FakeSharedStore({ clock });
      late = [];
      gates = [0, 1].map(() => new RateLimitGate(store, clock, { policy: 'possession' })) as [RateLimitGate, RateLimitGate];
      for (const each of gates) {
        each.suspendLater((subject) => late.push(subject));
        await each.start();
      }
    });

    const failEach = async (times: number): Promise<void> => {
      for (let i = 0; i < times; i += 1) for (const each of gates) expect(each.count(stolen()).suspend).toBeNull();
      await settle();
    };

    it('ten failures spread over two processes suspend', async () => {
      await failEach(4);
      expect(late).toEqual([]);
      await failEach(1);
      expect(late).toEqual([A]);
    });

    it('ten in one process are told once, at once, and not later again', async () => {
      const told = Array.from({ length: 15 }, () => gates[0].count(stolen()).suspend);
      await settle();
      expect(told.filter(Boolean)).toEqual([A]);
      expect(late).toEqual([]);
    });

    it('a reset in one process holds in all', async () => {
      await failEach(4);
      await gates[0].reset(A);
      await failEach(4);
      expect(late).toEqual([]);
    });

    it('a shared count that was on its way during a reset suspends nobody', async () => {
      await failEach(4);
      const letGo = store.holdAnswersOf('countInWindow');
      for (const each of gates) each.count(stolen());
      await settle();
      await gates[0].reset(A);
      letGo();
      await settle();
      expect(late).toEqual([]);
    });

    it('nor one that was made while the reset was under way', async () => {
      await failEach(4);
      const really = store.resetWindow.bind(store);
      let letGo: () => void = () => undefined;
      const held = new Promise<void>((resolve) => (letGo = resolve));
      jest.spyOn(store, 'resetWindow').mockImplementation((key) => held.then(() => really(key)));
      const resetting = gates[0].reset(A);
      await settle();
      gates[0].count(stolen());
      gates[0].count(stolen());
      await settle();
      const answerLate = store.holdAnswersOf('countInWindow');
      gates[0].count(stolen());
      await settle();
      letGo();
      await resetting;
      answerLate();
      await settle();
      expect(late).toEqual([]);
    });

    it('the process counts on when the store is gone, and says that a reset did not reach it', async () => {
      store.alive = false;
      const told = Array.from({ length: 10 }, () => gates[0].count(stolen()).suspend);
      await settle();
      expect(told[9]).toBe(A);
      expect(await gates[0].reset(A)).toBe(false);
    });

    it('a wrong secret costs no call, and a flood only so many', async () => {
      gates[0].count(wrongSecret());
      expect(store.calls).toEqual([]);
      for (let i = 0; i < 5_000; i += 1) gates[0].count(refusal({ proven: `device-${i}`, possession: true }));
      await settle();
      expect(store.calls.length).toBeLessThanOrEqual(200);
    });
  });
});
