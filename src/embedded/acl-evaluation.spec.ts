import { evaluateAcl, isAcl } from './acl-evaluation.js';
import type { AclRule, AclVerdict } from './acl-evaluation.js';

const ask = (acl: AclRule[], action: 'publish' | 'subscribe', topic: string, qos = 0, retain = false): AclVerdict =>
  evaluateAcl(acl, { action, topic, qos, retain });

describe('an acl list reads as EMQX reads it', () => {
  // Observed on EMQX 5.8.
  it.each<[filter: string, verdict: AclVerdict]>([
    ['s/#', 'allow'], ['s/+/x', 'allow'], ['#', 'deny'], ['s', 'allow'], ['$share/g/s/1', 'allow'],
    ['$SYS/#', 'nomatch'],
  ])('allow s/#, deny #: SUBSCRIBE %p gives %p', (filter, verdict) => {
    const acl: AclRule[] = [
      { permission: 'allow', action: 'subscribe', topics: ['s/#'] },
      { permission: 'deny', action: 'all', topics: ['#'] },
    ];
    expect(ask(acl, 'subscribe', filter)).toBe(verdict);
  });

  it.each<[filter: string, verdict: AclVerdict]>([
    ['v/x/#', 'allow'], ['v/x/+', 'allow'], ['v/x/y', 'allow'], ['v/#', 'nomatch'],
  ])('an allow on v/x/+ takes a requested wildcard for a word: %p gives %p', (filter, verdict) => {
    expect(ask([{ permission: 'allow', action: 'subscribe', topic: 'v/x/+' }], 'subscribe', filter)).toBe(verdict);
  });

  it.each<[filter: string, verdict: AclVerdict]>([
    ['t/x/#', 'allow'], ['t/+/+', 'allow'], ['t/#', 'nomatch'],
  ])('an allow on t/+/+: %p gives %p', (filter, verdict) => {
    expect(ask([{ permission: 'allow', action: 'subscribe', topic: 't/+/+' }], 'subscribe', filter)).toBe(verdict);
  });

  it.each<[filter: string, verdict: AclVerdict]>([
    ['v/x/#', 'deny'], ['$share/a/v/x/#', 'deny'], ['$queue/v/x/#', 'deny'], ['v/x/+', 'allow'], ['v/x/y', 'allow'],
    ['v/#', 'nomatch'], ['#', 'nomatch'], ['v/+/+', 'nomatch'], ['devices/+/#', 'nomatch'], ['$SYS/#', 'nomatch'],
  ])('with a literal denial in front: %p gives %p', (filter, verdict) => {
    const acl: AclRule[] = [
      { permission: 'deny', action: 'subscribe', topics: ['eq v/x/#'] },
      { permission: 'allow', action: 'subscribe', topics: ['v/x/+'] },
    ];
    expect(ask(acl, 'subscribe', filter)).toBe(verdict);
  });

  it.each<[filter: string, verdict: AclVerdict]>([
    ['c/d1', 'allow'], ['c/d1/#', 'allow'], ['c/d1/+/y', 'allow'], ['$share/g/c/d1/q', 'allow'], ['c/d2', 'nomatch'],
  ])('an allow on c/d1/#: %p gives %p', (filter, verdict) => {
    expect(ask([{ permission: 'allow', action: 'subscribe', topic: 'c/d1/#' }], 'subscribe', filter)).toBe(verdict);
  });

  it('compares an eq topic literally', () => {
    const acl: AclRule[] = [
      { permission: 'allow', action: 'pub', topics: ['http-authn-acl/1'] },
      { permission: 'allow', action: 'sub', topics: ['eq http-authn-acl/#'] },
      { permission: 'deny', action: 'all', topics: ['#'] },
    ];
    expect(ask(acl, 'subscribe', 'http-authn-acl/#')).toBe('allow');
    expect(ask(acl, 'subscribe', 'http-authn-acl/1')).toBe('deny');
    expect(ask(acl, 'subscribe', 't/#')).toBe('deny');
    expect(ask(acl, 'publish', 'http-authn-acl/1')).toBe('allow');
    expect(ask([{ permission: 'allow', action: 'subscribe', topic: 'eq eq/+' }], 'subscribe', 'eq/x')).toBe('nomatch');
  });

  it('lets the first match decide, and an empty list nothing', () => {
    const acl: AclRule[] = [
      { permission: 'deny', action: 'all', topic: 'a/secret' },
      { permission: 'allow', action: 'all', topic: 'a/#' },
    ];
    expect(ask(acl, 'subscribe', 'a/secret')).toBe('deny');
    // Which is why a denial does not keep a subscriber out of what it names.
    expect(ask(acl, 'subscribe', 'a/+')).toBe('allow');
    expect(ask([...acl].reverse(), 'subscribe', 'a/secret')).toBe('allow');
    expect(ask([], 'publish', 'a')).toBe('nomatch');
  });

  it.each([0, 1, 2])('heeds QoS in every spelling at QoS %p', (qos) => {
    const spellings: [AclRule['qos'], number[]][] = [
      [1, [1]], ['1', [1]], ['0,2', [0, 2]], [[0, 1], [0, 1]], [['2'], [2]], [null, [0, 1, 2]],
      [undefined, [0, 1, 2]], [[], []],
    ];
    for (const [spelling, levels] of spellings) {
      const acl: AclRule[] = [{ permission: 'allow', action: 'all', topic: 'a', qos: spelling ?? null }];
      expect(isAcl(acl)).toBe(true);
      expect(ask(acl, 'publish', 'a', qos)).toBe(levels.includes(qos) ? 'allow' : 'nomatch');
      expect(ask(acl, 'subscribe', 'a', qos)).toBe(levels.includes(qos) ? 'allow' : 'nomatch');
    }
  });

  it('heeds retain in every spelling, for publishing alone', () => {
    const spellings: [AclRule['retain'], boolean[]][] = [
      [true, [true]], [1, [true]], ['1', [true]], ['true', [true]],
      [false, [false]], [0, [false]], ['0', [false]], ['false', [false]],
      ['all', [true, false]], [null, [true, false]],
    ];
    for (const [spelling, flags] of spellings) {
      const acl: AclRule[] = [{ permission: 'allow', action: 'all', topic: 'a', retain: spelling ?? null }];
      expect(isAcl(acl)).toBe(true);
      for (const retain of [true, false]) {
        expect(ask(acl, 'publish', 'a', 0, retain)).toBe(flags.includes(retain) ? 'allow' : 'nomatch');
        expect(ask(acl, 'subscribe', 'a', 0, retain)).toBe('allow');
      }
    }
  });

  it.each<[filter: string, verdict: AclVerdict]>([
    ['$share/g/a', 'allow'], ['$queue/a', 'allow'], ['$exclusive/a', 'allow'], ['$share/$queue/a', 'allow'],
    ['$share/g', 'deny'], ['$share/g/', 'deny'], ['$share//a', 'deny'], ['$share/+/a', 'deny'], ['$queue/', 'deny'],
    ['$share/a/$share/b/a', 'deny'], ['$share/a/$queue/a', 'deny'], ['$exclusive/', 'deny'], ['$queue', 'nomatch'],
    ['$shared/g/a', 'nomatch'], ['$share/g/$SYS/#', 'nomatch'],
  ])('cuts the subscription prefix off %p: %p', (filter, verdict) => {
    expect(ask([{ permission: 'allow', action: 'all', topics: ['#', 'a'] }], 'subscribe', filter)).toBe(verdict);
  });

  it('cuts nothing off a topic that is published to', () => {
    expect(ask([{ permission: 'allow', action: 'all', topic: 'a' }], 'publish', '$queue/a')).toBe('nomatch');
  });

  it.each([
    ['a word', '+', '$x'], ['every word', '#', '$x'], ['a first word', '+/a', '$x/a'],
  ])('does not let %s at the root stand for $ topics', (_, topic, asked) => {
    expect(ask([{ permission: 'allow', action: 'all', topic }], 'publish', asked)).toBe('nomatch');
  });
});

describe('a list that EMQX would not take', () => {
  it.each<[what: string, acl: unknown]>([
    ['an object', {}], ['null', null], ['an entry that is a string', ['allow']],
    ['no permission', [{ action: 'all', topic: 'a' }]],
    ['an unknown permission', [{ permission: 'maybe', action: 'all', topic: 'a' }]],
    ['no action', [{ permission: 'allow', topic: 'a' }]],
    ['an unknown action', [{ permission: 'allow', action: 'read', topic: 'a' }]],
    ['no topic', [{ permission: 'allow', action: 'all' }]],
    ['topics that are no list', [{ permission: 'allow', action: 'all', topics: 'a' }]],
    ['a topic that is a number', [{ permission: 'allow', action: 'all', topic: 7 }]],
    ['QoS 3', [{ permission: 'allow', action: 'all', topic: 'a', qos: 3 }]],
    ['a QoS text', [{ permission: 'allow', action: 'all', topic: 'a', qos: '0, 1' }]],
    ['an unknown retain', [{ permission: 'allow', action: 'all', topic: 'a', retain: 'yes' }]],
    ['a placeholder', [{ permission: 'allow', action: 'all', topic: 'a/${clientid}' }]],
    ['one bad entry among good ones', [{ permission: 'allow', action: 'all', topic: 'a' }, { permission: 'allow' }]],
  ])('%s', (_, acl) => {
    expect(isAcl(acl)).toBe(false);
  });

  it('is not one with unknown members, which it ignores', () => {
    expect(isAcl([{ permission: 'allow', action: 'all', topic: 'a', ipaddr: '10.0.0.1' }])).toBe(true);
  });
});
