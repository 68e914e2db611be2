import { emqxAcl, listable } from './topic-acl.js';
import type { AclTerminal, EmqxRule } from './topic-acl.js';
import { deviceRules } from './topic-profile.js';
import type { TopicRule } from './topic-rule.js';
import { compileRules } from './topic.decision.js';

const listOf = (rules: TopicRule[], terminal: AclTerminal = 'callback'): EmqxRule[] =>
  emqxAcl(compileRules(rules), { terminal });
const sub = (topic: string, qos?: TopicRule['qos']): TopicRule => ({ action: 'subscribe', topic, ...(qos && { qos }) });
const pub = (topic: string, more: Partial<TopicRule> = {}): TopicRule => ({ action: 'publish', topic, ...more });
const deny = (topics: string[], qos?: number[]): unknown =>
  ({ permission: 'deny', action: 'subscribe', topics, ...(qos && { qos }) });
const allow = (action: string, topics: string[], more = {}): unknown =>
  ({ permission: 'allow', action, topics, ...more });

describe('the EMQX list', () => {
  it('of an ordinary device is two entries long', () => {
    const own = { deviceId: '1', slug: 's', tenantId: 't', groupIds: ['g'] };
    const facts = { profile: 'directional', prefix: 'd', ...own } as const;
    expect(listOf(deviceRules({ ...facts, status: 'ACTIVE' }, []))).toEqual([
      allow('publish', ['d/1/telemetry', 'd/1/status', 'd/1/ack', 'd/1/events/#']),
      allow('subscribe', ['d/1/commands', 'd/1/config/#', 'd/$broadcast/t/#', 'd/$group/g/#']),
    ]);
    expect(listOf(deviceRules({ ...facts, status: 'SUSPENDED' }, []))).toEqual([]);
  });

  it('groups what agrees in action, QoS and retain, and says each topic once', () => {
    const narrow = { qos: [1], retain: false } as const;
    expect(listOf([pub('a'), pub('b', narrow), pub('a'), pub('c', narrow)])).toEqual([
      allow('publish', ['a']),
      allow('publish', ['b', 'c'], narrow),
    ]);
  });

  it('puts a literal denial before a closing + and a closing +/#', () => {
    expect(listOf([sub('a/+'), sub('b/+/#')])).toEqual([
      deny(['eq a/#', 'eq b/#']),
      allow('subscribe', ['a/+', 'b/+/#']),
    ]);
  });

  it('leaves that denial out where the literal filter is granted', () => {
    expect(listOf([sub('a/+'), sub('a/#')])).toEqual([allow('subscribe', ['a/+', 'a/#'])]);
    expect(listOf([sub('/+/#')])).toEqual([allow('subscribe', ['/+/#'])]);
  });

  it('denies just the QoS levels at which the literal filter is not granted', () => {
    expect(listOf([sub('a/+'), sub('a/#', [0])])).toEqual([
      deny(['eq a/#'], [1, 2]),
      allow('subscribe', ['a/+']),
      allow('subscribe', ['a/#'], { qos: [0] }),
    ]);
    expect(listOf([sub('a/+', [0, 1]), sub('b/+', [0, 1])])).toEqual([
      deny(['eq a/#', 'eq b/#'], [0, 1]),
      allow('subscribe', ['a/+', 'b/+'], { qos: [0, 1] }),
    ]);
  });

  it('leaves out what cannot be made exact, but not its publishing half', () => {
    expect(listOf([sub('+/b/+'), sub('a')])).toEqual([allow('subscribe', ['a'])]);
    expect(listOf([{ action: 'all', topic: 'a/+/+', retain: true }])).toEqual([
      allow('publish', ['a/+/+'], { retain: true }),
    ]);
    expect(listOf([pub('+/+')])).toEqual([
      { permission: 'deny', action: 'all', topics: expect.arrayContaining(['$SYS/#']) },
      allow('publish', ['+/+']),
    ]);
  });

  it('does not publish retain for a subscription', () => {
    expect(listOf([{ action: 'subscribe', topic: 'a', retain: true }])).toEqual([allow('subscribe', ['a'])]);
  });

  it('shuts the $ roots in front of a rule that begins with a wildcard', () => {
    for (const topic of ['#', '+/#', '+/a']) {
      const [first, ...rest] = listOf([sub(topic)]);
      const roots: unknown = expect.arrayContaining(['$SYS/#', '$events/#']);
      expect(first).toEqual({ permission: 'deny', action: 'all', topics: roots });
      expect(rest).toEqual([allow('subscribe', [topic])]);
    }
    expect(listOf([sub('+')]).slice(1)).toEqual([deny(['eq #']), allow('subscribe', ['+'])]);
  });

  it('ends in denials of everything and of the $ roots when the list is the last word', () => {
    const roots: unknown = expect.arrayContaining(['#', '$SYS/#', '$share/#', '$queue/#']);
    const end = { permission: 'deny', action: 'all', topics: roots };
    expect(listOf([pub('a')], 'deny')).toEqual([allow('publish', ['a']), end]);
    expect(listOf([], 'deny')).toEqual([end]);
    expect(listOf([sub('#')], 'deny').at(-1)).toEqual(end);
  });

  it.each<[topic: string, expected: boolean]>([
    ['a', true], ['#', true], ['+', true], ['+/#', true], ['a/+', true], ['a/+/#', true], ['+/a', true],
    ['+/a/#', true], ['+/+/a', true], ['+/+', false], ['+/+/#', false], ['a/+/b/+', false],
    ['a/+/b/+/#', false], ['a/#/b', false],
  ])('can hold the subscription %p: %p', (topic, expected) => {
    expect(listable(sub(topic))).toBe(expected);
    expect(listable({ action: 'all', topic })).toBe(expected);
    expect(listable(pub(topic))).toBe(true);
  });
});
