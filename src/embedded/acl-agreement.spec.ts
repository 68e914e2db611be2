import fc from 'fast-check';
import { allFilters, allTopics } from '../../test/fakes/brute-force-topics.js';
import { emqxAcl, listable } from '../devices/topic-acl.js';
import type { AclTerminal } from '../devices/topic-acl.js';
import { authorize, compileRules } from '../devices/topic.decision.js';
import type { TopicRequest } from '../devices/topic.decision.js';
import type { Qos, TopicRule } from '../devices/topic-rule.js';
import { evaluateAcl, isAcl } from './acl-evaluation.js';
import type { AclRule, AclVerdict } from './acl-evaluation.js';

/** The list that a broker gets and the decision that the callback makes must not contradict each other. */
const words = ['a', 'b', ''];
const filters = allFilters(words, 4);
const topics = allTopics([...words, 'z', '$x'], 3);
const requests = [...allFilters([...words, 'z', '$x', '$SYS'], 3), ...filters];

const evaluate = (acl: readonly AclRule[], request: TopicRequest): AclVerdict =>
  evaluateAcl(acl, {
    action: request.action,
    topic: request.action === 'publish' ? request.topic : request.filter,
    qos: request.qos ?? 0,
    ...(request.action === 'publish' && { retain: request.retain ?? false }),
  });

/** Why the two contradict each other, or null. */
function contradiction(rules: readonly TopicRule[], request: TopicRequest, terminal: AclTerminal): string | null {
  const compiled = compileRules(rules);
  const decided = authorize(compiled, request).allow;
  const listed = evaluate(emqxAcl(compiled, { terminal }), request);
  if (listed === 'allow' && !decided) return `the list grants ${JSON.stringify(request)}`;
  if (listed === 'deny' && decided && (terminal === 'callback' || rules.every(listable))) {
    return `the list denies ${JSON.stringify(request)}`;
  }
  if (listed === 'nomatch' && decided && rules.every(listable)) return `the list omits ${JSON.stringify(request)}`;
  return null;
}

describe('the list and the decision', () => {
  it('agree on every single rule and every request of up to four levels', () => {
    const wrong: string[] = [];
    let cases = 0;
    for (const topic of filters) {
      const rule: TopicRule = { action: 'all', topic };
      const compiled = compileRules([rule]);
      const acl = emqxAcl(compiled, { terminal: 'callback' });
      for (const filter of requests) {
        cases += 1;
        const request: TopicRequest = { action: 'subscribe', filter, qos: 1 };
        const decided = authorize(compiled, request).allow;
        const listed = evaluate(acl, request);
        const agree = (listed === 'allow') === decided || (!listable(rule) && listed === 'nomatch');
        if (!agree) wrong.push(`rule ${topic}, SUBSCRIBE ${filter}: decided ${decided}, listed ${listed}`);
      }
      for (const asked of topics) {
        cases += 1;
        const request: TopicRequest = { action: 'publish', topic: asked, qos: 1, retain: false };
        if ((evaluate(acl, request) === 'allow') !== authorize(compiled, request).allow) {
          wrong.push(`rule ${topic}, PUBLISH ${asked}`);
        }
      }
    }
    expect(wrong).toEqual([]);
    expect(cases).toBeGreaterThan(300_000);
  });

  const qos = fc.constantFrom<Qos>(0, 1, 2);
  // Closing wildcards are where EMQX and the subset test part; half of the rules end in one, and short words make
  // wider and narrower rules of one set meet.
  const tail = fc.constantFrom('+', '+/#', '#', 'a', 'b');
  const closing = fc
    .tuple(fc.array(fc.constantFrom('a', 'a', '', '+'), { maxLength: 3 }), tail)
    .map(([head, last]) => [...head, last].join('/'));
  const rule: fc.Arbitrary<TopicRule> = fc.record(
    {
      action: fc.constantFrom('publish', 'subscribe', 'all'),
      topic: fc.oneof(fc.constantFrom(...filters), closing),
      qos: fc.uniqueArray(qos, { minLength: 1 }),
      retain: fc.boolean(),
    },
    { requiredKeys: ['action', 'topic'] },
  );
  const filter = fc.oneof(fc.constantFrom(...requests), closing);
  const topic = fc.constantFrom(...topics);
  const request: fc.Arbitrary<TopicRequest> = fc.oneof(
    fc.record({ action: fc.constant('publish' as const), topic, qos, retain: fc.boolean() }),
    fc.record({ action: fc.constant('subscribe' as const), filter, qos }),
  );
  const terminal = fc.constantFrom<AclTerminal>('callback', 'deny');

  it('never contradict each other on random rule sets with QoS and retain', () => {
    const rules = fc.array(rule, { maxLength: 6 });
    const asking = fc.array(request, { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(rules, asking, terminal, (held, asked, end) => {
        for (const one of asked) expect(contradiction(held, one, end)).toBeNull();
      }),
      { numRuns: 3000 },
    );
  });

  it('agree at every QoS on the literal filters that a closing + would let through', () => {
    fc.assert(
      fc.property(fc.array(rule, { maxLength: 6 }), terminal, (held, end) => {
        for (const { topic } of held) {
          const literal = topic.replace(/\+(\/#)?$/, '#');
          for (const level of [0, 1, 2] as const) {
            expect(contradiction(held, { action: 'subscribe', filter: literal, qos: level }, end)).toBeNull();
          }
        }
      }),
      { numRuns: 3000 },
    );
  });

  it('agree for shared subscriptions, whose group the broker takes off', () => {
    fc.assert(
      fc.property(fc.array(rule, { maxLength: 4 }), fc.constantFrom(...requests), qos, (held, filter, level) => {
        const shared: TopicRequest = { action: 'subscribe', filter: `$share/g/${filter}`, qos: level };
        expect(contradiction(held, shared, 'callback')).toBeNull();
      }),
      { numRuns: 3000 },
    );
  });

  it('leave nothing open under a closing denial except unknown $ roots, which no rule can grant', () => {
    fc.assert(
      fc.property(fc.array(rule, { maxLength: 4 }), request, (held, one) => {
        const verdict = evaluate(emqxAcl(compileRules(held), { terminal: 'deny' }), one);
        const asked = one.action === 'publish' ? one.topic : one.filter;
        if (verdict === 'nomatch') expect(asked).toMatch(/^\$x/);
      }),
      { numRuns: 3000 },
    );
  });

  it('is a list that EMQX takes, without a member or a spelling that some release does not know', () => {
    fc.assert(
      fc.property(fc.array(rule, { maxLength: 6 }), terminal, (held, end) => {
        const acl = emqxAcl(compileRules(held), { terminal: end });
        expect(isAcl(acl)).toBe(true);
        for (const entry of acl) {
          const members = ['permission', 'action', 'topics', 'qos', 'retain'];
          expect(Object.keys(entry).filter((member) => !members.includes(member))).toEqual([]);
          expect(entry.topics.length).toBeGreaterThan(0);
          expect(entry.qos?.length ?? 1).toBeGreaterThan(0);
        }
      }),
    );
  });
});
