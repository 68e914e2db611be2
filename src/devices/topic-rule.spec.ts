import fc from 'fast-check';
import { isTopicFilter } from './topic.js';
import {
  parseRule, renderRule, renderRules, SERVICE_ACCOUNT_VARIABLES, topicLists, validateRuleTopic,
} from './topic-rule.js';
import type { TopicRule } from './topic-rule.js';

const values = { 'device.id': 'd-1', 'device.slug': 'pump.7', 'tenant.id': 't-1' };

describe('a rule read from outside', () => {
  it.each<[input: unknown, rule: TopicRule]>([
    [{ action: 'publish', topic: 'a/b' }, { action: 'publish', topic: 'a/b' }],
    [{ action: 'subscribe', topic: 'a/#', qos: 1 }, { action: 'subscribe', topic: 'a/#', qos: [1] }],
    [
      { action: 'all', topic: 'a', qos: [2, 0, 2], retain: false },
      { action: 'all', topic: 'a', qos: [0, 2], retain: false },
    ],
    [{ action: 'publish', topic: 'a', qos: [2, 1, 0], retain: true }, { action: 'publish', topic: 'a', retain: true }],
  ])('%j is accepted in one spelling', (input, rule) => {
    expect(parseRule(input)).toEqual({ ok: true, rule });
  });

  it.each<[input: unknown, paths: string[]]>([
    [null, ['']],
    ['publish a', ['']],
    [[{ action: 'publish', topic: 'a' }], ['']],
    [{}, ['action', 'topic']],
    [{ action: 'read', topic: 7 }, ['action', 'topic']],
    [{ action: 'publish', topic: 'a', permission: 'deny' }, ['permission']],
    [{ action: 'publish', topic: 'a', qos: [] }, ['qos']],
    [{ action: 'publish', topic: 'a', qos: 3 }, ['qos']],
    [{ action: 'publish', topic: 'a', qos: '1' }, ['qos']],
    [{ action: 'publish', topic: 'a', qos: [[1]] }, ['qos']],
    [{ action: 'publish', topic: 'a', qos: null }, ['qos']],
    [{ action: 'publish', topic: 'a', retain: 'true' }, ['retain']],
    [{ action: 'subscribe', topic: 'a', retain: true }, ['retain']],
    [{ action: 'all', topic: 'a#', qos: -1, retain: 1 }, ['topic', 'qos', 'retain']],
  ])('%j is refused and every bad member named', (input, paths) => {
    const parsed = parseRule(input);
    expect(parsed.ok ? parsed : parsed.problems.map(({ path }) => path)).toEqual(paths);
  });

  it('may use only the variables that its holder has', () => {
    const rule = { action: 'publish', topic: 'x/${device.id}' };
    expect(parseRule(rule).ok).toBe(true);
    expect(parseRule(rule, SERVICE_ACCOUNT_VARIABLES)).toEqual({
      ok: false,
      problems: [{ path: 'topic', message: 'may use no other variable than ${tenant.id}' }],
    });
  });
});

describe('the topic of a rule', () => {
  it.each([
    'a/+/#', '#', '/', 'x/${device.id}/y', '${tenant.id}/${device.slug}', 'a/pre-${device.id}.${device.slug}-post/+',
    'equal/a', 'a/$b', 'a/$', 'a/{x}', 'eq', ' eq a',
  ])('may be %p', (topic) => {
    expect(validateRuleTopic(topic)).toBeNull();
  });

  it.each([
    ['', 'is not a valid MQTT topic filter'],
    ['a/#/b', 'is not a valid MQTT topic filter'],
    ['a\0', 'is not a valid MQTT topic filter'],
    ['${device.id}+', 'is not a valid MQTT topic filter'],
    ['a/#${device.id}', 'is not a valid MQTT topic filter'],
    ['eq a/b', 'must not begin with "eq "'],
    ['eq ${device.id}', 'must not begin with "eq "'],
    ['$SYS/#', 'must not begin with "$"'],
    ['$share/g/a', 'must not begin with "$"'],
    ['$queue/a', 'must not begin with "$"'],
    ['$', 'must not begin with "$"'],
    ['$${device.id}', 'must not begin with "$"'],
  ])('may not be %p: %s', (topic, problem) => {
    expect(validateRuleTopic(topic)).toBe(problem);
  });

  it.each([
    '${clientid}/a', 'a/${username}', 'a/${}', 'a/${device.id', 'a/${device.id/b}', 'a/${ device.id }', 'a/${device}',
    '${${device.id}}', 'a/${__proto__}', 'a/${constructor}', 'a/${device.id}${',
  ])('may not use the variable in %p', (topic) => {
    expect(validateRuleTopic(topic)).toContain('no other variable');
  });
});

describe('rendering', () => {
  it('puts values anywhere within a level and keeps the rest of the rule', () => {
    const narrow = { qos: [1], retain: true } as const;
    const rule: TopicRule = { action: 'all', topic: 'x/${tenant.id}/a-${device.id}.${device.slug}/+/#', ...narrow };
    expect(renderRule(rule, values)).toEqual({ ...rule, topic: 'x/t-1/a-d-1.pump.7/+/#' });
  });

  it.each(['', '+', '#', '/', 'a/b', 'a+', 'x#', '$SYS', 'a${tenant.id}', 'a\0', 'a\u0085', '\ud800'])(
    'grants nothing when a value is %j',
    (value) => {
      const rule: TopicRule = { action: 'subscribe', topic: 'a/x${device.slug}/b' };
      expect(renderRule(rule, { ...values, 'device.slug': value })).toBeNull();
    },
  );

  it('grants nothing when a value is missing', () => {
    const extra: TopicRule[] = [
      { action: 'publish', topic: 'a/${device.id}' },
      { action: 'publish', topic: 'a/${tenant.id}' },
      { action: 'publish', topic: 'a/${toString}' },
    ];
    expect(renderRules(extra, { 'tenant.id': 't-1' })).toEqual([{ action: 'publish', topic: 'a/t-1' }]);
  });

  it('grants nothing when the whole becomes a literal, a $ root or too long', () => {
    const slug = (topic: string, value: string): TopicRule | null =>
      renderRule({ action: 'publish', topic }, { 'device.slug': value });
    expect(slug('${device.slug}q a', 'e')).toBeNull();
    expect(slug('$${device.slug}/a', 'SYS')).toBeNull();
    expect(slug(`${'x'.repeat(65_000)}/\${device.slug}`, 'y'.repeat(600))).toBeNull();
  });

  it('never changes the number of levels or the place of the wildcards, whatever the value', () => {
    const piece = fc.constantFrom('a', '+', '#', '${device.id}', '${tenant.id}', '/', '', 'eq ', '$');
    const nasty = fc.constantFrom('+', '#', 'a/b', 'x', '$', '${device.id}');
    const value = fc.oneof(fc.string({ unit: 'binary', maxLength: 4 }), nasty);
    const shape = (topic: string): string[] => topic.split('/').map((level) => (/^[+#]$/.test(level) ? level : 'word'));
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), value, value, (pieces, deviceId, tenantId) => {
        const topic = pieces.join('');
        fc.pre(validateRuleTopic(topic) === null);
        const rendered = renderRule({ action: 'all', topic }, { 'device.id': deviceId, 'tenant.id': tenantId });
        if (rendered === null) return;
        expect(isTopicFilter(rendered.topic)).toBe(true);
        expect(shape(rendered.topic)).toEqual(shape(topic));
      }),
      { numRuns: 2000 },
    );
  });
});

it('filters are listed by direction, each once', () => {
  const rules: TopicRule[] = [
    { action: 'publish', topic: 'a' },
    { action: 'all', topic: 'b' },
    { action: 'subscribe', topic: 'c' },
    { action: 'publish', topic: 'a', qos: [1] },
  ];
  expect(topicLists(rules)).toEqual({ publish: ['a', 'b'], subscribe: ['b', 'c'] });
});
