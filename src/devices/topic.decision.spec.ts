import fc from 'fast-check';
import { allFilters, allTopics, bruteForceMatches, TopicSets } from '../../test/fakes/brute-force-topics.js';
import { deviceRules } from './topic-profile.js';
import { authorize, compileRules } from './topic.decision.js';
import type { TopicRequest, TopicVerdict } from './topic.decision.js';
import type { Qos, TopicRule } from './topic-rule.js';

const rules: TopicRule[] = [
  { action: 'publish', topic: 'd/1/telemetry' },
  { action: 'publish', topic: 'd/1/events/#', qos: [0, 1] },
  { action: 'publish', topic: 'd/1/state', retain: true },
  { action: 'publish', topic: 'd/1/once', retain: false },
  { action: 'subscribe', topic: 'd/1/config/#' },
  { action: 'subscribe', topic: 'd/1/low/+', qos: [0] },
  { action: 'all', topic: 'd/1/both', qos: [1], retain: true },
  { action: 'subscribe', topic: 'd/1/commands' },
];
const compiled = compileRules(rules);
const publish = (topic: string, qos?: Qos, retain?: boolean): TopicVerdict =>
  authorize(compiled, { action: 'publish', topic, qos, retain });
const subscribe = (filter: string, qos?: Qos): TopicVerdict =>
  authorize(compiled, { action: 'subscribe', filter, qos });
const refused = (reason: string): unknown => ({ allow: false, reason });

describe('publishing', () => {
  it('is granted by the rule that matches, and names it', () => {
    expect(publish('d/1/telemetry', 0, false)).toEqual({ allow: true, rule: rules[0] });
    expect(publish('d/1/events/door/open', 1, true)).toEqual({ allow: true, rule: rules[1] });
  });

  it.each<[topic: string, qos?: Qos, retain?: boolean]>([
    ['d/2/telemetry', 0, false],
    ['d/1/telemetry/x', 0, false],
    ['d/1', 0, false],
    ['d/1/config/x', 0, false],
    ['d/1/events/x', 2, false],
    ['d/1/state', 0, false],
    ['d/1/once', 0, true],
    ['d/1/both', 0, true],
    ['d/1/both', 1, false],
  ])('%p at QoS %p, retain %p is not granted', (...asked) => {
    expect(publish(...asked)).toEqual(refused('TOPIC_NOT_GRANTED'));
  });

  it('is not granted by a narrowed rule when the broker does not tell QoS or retain', () => {
    expect(publish('d/1/telemetry').allow).toBe(true);
    expect(publish('d/1/events/x').allow).toBe(false);
    expect(publish('d/1/state', 1).allow).toBe(false);
    expect(publish('d/1/once', 1).allow).toBe(false);
  });

  it.each(['', 'd/1/+', 'd/#', 'd/1/telemetry\0', '\ud800'])('%j is invalid', (topic) => {
    expect(publish(topic, 0, false)).toEqual(refused('TOPIC_INVALID'));
  });

  it.each(['$SYS/x', '$share/g/d/1/telemetry', '$delayed/1/d/1/telemetry', '$'])('%p is reserved', (topic) => {
    expect(publish(topic, 0, false)).toEqual(refused('TOPIC_RESERVED'));
  });
});

describe('subscribing', () => {
  const none = undefined;

  it.each<[filter: string, qos: Qos | undefined]>([
    ['d/1/config/#', none], ['d/1/config', none], ['d/1/config/+/x', none], ['$share/g/d/1/config/#', 2],
    ['d/1/low/+', 0], ['d/1/low/x', 0], ['d/1/both', 1],
  ])('%p at QoS %p is granted', (filter, qos) => {
    expect(subscribe(filter, qos).allow).toBe(true);
  });

  it.each<[filter: string, qos: Qos | undefined]>([
    ['#', none], ['+/#', none], ['d/#', none], ['d/1/#', none], ['d/+/config/#', none], ['d/1/telemetry', none],
    ['d/1/low/#', 0], ['d/1/low/+', 1], ['d/1/low/+', none], ['d/1/both', 0], ['d/1/both', none],
    ['$share/g/d/1/#', none],
  ])('%p at QoS %p is not granted', (filter, qos) => {
    expect(subscribe(filter, qos)).toEqual(refused('TOPIC_NOT_GRANTED'));
  });

  it('takes its share group for what it is and refuses every other $', () => {
    expect(subscribe('$share/g/d/1/config/#')).toEqual({ allow: true, rule: rules[4] });
    expect(subscribe('$share/g/d/1/commands')).toEqual({ allow: true, rule: rules[7] });
    expect(subscribe('$queue/d/1/config/#')).toEqual(refused('TOPIC_RESERVED'));
    expect(subscribe('$share/g/$share/h/d/1/config/#')).toEqual(refused('TOPIC_RESERVED'));
    expect(subscribe('$SYS/#')).toEqual(refused('TOPIC_RESERVED'));
    expect(subscribe('$share/+/d/1/config/#')).toEqual(refused('TOPIC_INVALID'));
    expect(subscribe('d/1/config/#/x')).toEqual(refused('TOPIC_INVALID'));
  });

  it('under a rule for everything still leaves the $ topics out', () => {
    const everything = compileRules([{ action: 'all', topic: '#' }]);
    expect(authorize(everything, { action: 'subscribe', filter: '#', qos: 0 }).allow).toBe(true);
    expect(authorize(everything, { action: 'subscribe', filter: '$SYS/#', qos: 0 })).toEqual(refused('TOPIC_RESERVED'));
    expect(authorize(everything, { action: 'publish', topic: '$SYS/x', qos: 0 })).toEqual(refused('TOPIC_RESERVED'));
  });
});

it('a rule that should not exist grants nothing', () => {
  for (const topic of ['$SYS/#', 'eq a/b', 'a/${device.id}', 'a/#/b', '']) {
    expect(compileRules([{ action: 'all', topic }]).all).toEqual([]);
  }
  const noQos = compileRules([{ action: 'all', topic: '#', qos: [] }]);
  expect(authorize(noQos, { action: 'publish', topic: 'a', qos: 0 }).allow).toBe(false);
});

it('one device reaches nothing of another', () => {
  const facts = { prefix: 'd', tenantId: 't', groupIds: ['g'], slug: 's', status: 'ACTIVE' } as const;
  const filters = allFilters(['d', 'B', 'telemetry', 'commands'], 4);
  const victim = filters.filter((filter) => bruteForceMatches(filter, 'd/B/commands'));
  expect(victim.length).toBeGreaterThan(10);
  for (const profile of ['directional', 'namespace'] as const) {
    const own = compileRules(deviceRules({ ...facts, profile, deviceId: 'A' }, []));
    expect(victim.filter((filter) => authorize(own, { action: 'subscribe', filter, qos: 0 }).allow)).toEqual([]);
    expect(authorize(own, { action: 'publish', topic: 'd/B/telemetry', qos: 0, retain: false }).allow).toBe(false);
  }
});

describe('random rule sets', () => {
  const filters = allFilters(['a', 'b', ''], 3);
  const topics = allTopics(['a', 'b', '', 'z'], 4);
  const sets = new TopicSets(filters, topics);
  const qos = fc.constantFrom<Qos>(0, 1, 2);
  const rule: fc.Arbitrary<TopicRule> = fc.record(
    {
      action: fc.constantFrom('publish', 'subscribe', 'all'),
      topic: fc.constantFrom(...filters),
      qos: fc.uniqueArray(qos, { minLength: 1 }),
      retain: fc.boolean(),
    },
    { requiredKeys: ['action', 'topic'] },
  );

  it('grant a request exactly if one of their rules holds it whole', () => {
    const request: fc.Arbitrary<TopicRequest> = fc.oneof(
      fc.record(
        { action: fc.constant('publish' as const), topic: fc.constantFrom(...topics), qos, retain: fc.boolean() },
        { requiredKeys: ['action', 'topic'] },
      ),
      fc.record(
        { action: fc.constant('subscribe' as const), filter: fc.constantFrom(...filters), qos },
        { requiredKeys: ['action', 'filter'] },
      ),
    );
    const holds = (candidate: TopicRule, asked: TopicRequest): boolean => {
      if (candidate.action !== 'all' && candidate.action !== asked.action) return false;
      if (candidate.qos !== undefined && candidate.qos.length < 3) {
        if (asked.qos === undefined || !candidate.qos.includes(asked.qos)) return false;
      }
      if (asked.action === 'subscribe') return sets.isSubset(asked.filter, candidate.topic);
      if (candidate.retain !== undefined && candidate.retain !== asked.retain) return false;
      return bruteForceMatches(candidate.topic, asked.topic);
    };
    fc.assert(
      fc.property(fc.array(rule, { maxLength: 4 }), fc.array(request, { maxLength: 20 }), (held, asked) => {
        const engine = compileRules(held);
        for (const one of asked) {
          expect(authorize(engine, one).allow).toBe(held.some((candidate) => holds(candidate, one)));
        }
      }),
      { numRuns: 2000 },
    );
  });
});
