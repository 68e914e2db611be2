import { FakeClock } from '../../test/fakes/fake-clock.js';
import { FakeSharedStore } from '../../test/fakes/fake-shared-store.js';
import { isAppError } from '../platform/problem/app-error.js';
import { LIMITS } from './limits.js';
import { RateLimitService } from './rate-limit.service.js';

describe('RateLimitService', () => {
  let clock: FakeClock;
  let store: FakeSharedStore;
  let limits: RateLimitService;

  beforeEach(() => {
    clock = new FakeClock();
    store = new FakeSharedStore({ clock });
    limits = new RateLimitService(store, clock);
  });

  const provisionTen = async (address = '192.0.2.1'): Promise<boolean[]> => {
    const answers: boolean[] = [];
    for (let i = 0; i < 11; i += 1) answers.push((await limits.spend('provision.address', address)).allowed);
    return answers;
  };
  const tenOfEleven = [...Array.from({ length: 10 }, () => true), false];

  it('lets one address provision ten devices a minute, and each address its own ten', async () => {
    expect(await provisionTen()).toEqual(tenOfEleven);
    expect(await provisionTen('192.0.2.2')).toEqual(tenOfEleven);
    clock.advance(60_000);
    expect(await provisionTen()).toEqual(tenOfEleven);
  });

  it('counts an IPv6 host by its /64', async () => {
    for (let i = 0; i < 10; i += 1) await limits.spend('provision.address', `2001:db8::${i + 1}`);
    expect((await limits.spend('provision.address', '2001:db8::abcd')).allowed).toBe(false);
  });

  it('throws RATE_LIMITED with Retry-After in whole seconds', async () => {
    for (let i = 0; i < 10; i += 1) await limits.enforce('provision.address', '192.0.2.1');
    clock.advance(100);
    const error: unknown = await limits.enforce('provision.address', '192.0.2.1').catch((thrown: unknown) => thrown);
    expect(isAppError(error, 'RATE_LIMITED')).toBe(true);
    expect(error).toMatchObject({ status: 429, headers: { 'Retry-After': '6' } });
  });

  it('a refund gives the unit back, a peek takes none', async () => {
    for (let i = 0; i < 10; i += 1) await limits.spend('provision.address', '192.0.2.1');
    expect((await limits.peek('provision.address', '192.0.2.1')).allowed).toBe(false);
    await limits.refund('provision.address', '192.0.2.1');
    expect((await limits.peek('provision.address', '192.0.2.1')).allowed).toBe(true);
    expect((await limits.peek('provision.address', '192.0.2.1')).allowed).toBe(true);
  });

  it('goes on counting in the process while the store fails or is known to be down', async () => {
    store.alive = false;
    expect(await provisionTen()).toEqual(tenOfEleven);
    store.calls.length = 0;
    store.believedAlive = false;
    expect((await limits.spend('provision.address', '192.0.2.1')).allowed).toBe(false);
    expect(store.calls).toEqual([]);
  });

  it('keeps no address and no account in the store', async () => {
    const spy = jest.spyOn(store, 'spend');
    await limits.spend('login.account', 'someone@example.org');
    expect(String(spy.mock.calls[0]?.[0])).toMatch(/^limit:login\.account:[\w-]{43}$/);
  });

  it('the same key under two limits is two counts', async () => {
    for (let i = 0; i < 10; i += 1) await limits.spend('provision.address', '192.0.2.1');
    expect((await limits.spend('adminkey.address', '192.0.2.1')).allowed).toBe(true);
  });

  it.each(Object.entries(LIMITS))('%s can be met', async (_, limit) => {
    expect((await store.spend('k', limit)).allowed).toBe(true);
    expect(limit.purpose.length).toBeGreaterThan(10);
  });
});
