import fc from 'fast-check';
import { compileFacts, type PlainFacts } from '../devices/facts.js';
import { authorize, compileRules, type TopicRequest } from '../devices/topic.decision.js';
import { listable } from '../devices/topic-acl.js';
import type { TopicRule } from '../devices/topic-rule.js';
import { evaluateAcl, type AclVerdict } from '../embedded/acl-evaluation.js';
import { allFilters, allTopics } from '../../test/fakes/brute-force-topics.js';
import { deviceClaims, type DeviceClaims } from './token-claims.js';

const ID = '6f9619ff-8b86-4011-b42d-00c04fc964ff';
const GROUP = '0e2d9b3c-1f6f-4f0c-9f43-0a3f8f2b0c11';
const TENANT = '11111111-2222-4333-8444-555555555555';

function claimsFor(rules: readonly TopicRule[], profiles: readonly ('topics' | 'publ-subs')[] = ['topics', 'publ-subs']): DeviceClaims {
  const plain: PlainFacts = {
    kind: 'device', id: ID, tenantId: TENANT, tenantStatus: 'ACTIVE', status: 'ACTIVE', slug: 'pump', version: 1,
    groups: [GROUP], allowedProofs: null, tokensNotBefore: null, clockless: false, rules,
  };
  const facts = compileFacts(plain, { prefix: 'devices', profile: 'directional', terminal: 'callback' });
  return deviceClaims({ facts, issuer: 'https://x', jti: ID, iat: 1_000, ttlSeconds: 60, profiles });
}

/** What a broker that knows only the plain lists would grant. */
function granted(lists: { publish: readonly string[]; subscribe: readonly string[] }, request: TopicRequest): boolean {
  const rules = [
    ...lists.publish.map((topic) => ({ action: 'publish', topic }) as const),
    ...lists.subscribe.map((topic) => ({ action: 'subscribe', topic }) as const),
  ];
  return authorize(compileRules(rules), request).allow;
}

function evaluate(acl: DeviceClaims['acl'], request: TopicRequest): AclVerdict {
  return evaluateAcl(acl, {
    action: request.action,
    topic: request.action === 'publish' ? request.topic : request.filter,
    qos: request.qos ?? 0,
    ...(request.action === 'publish' && { retain: request.retain ?? false }),
  });
}

/** The rules of the profile alone, as the lists of a device without extra rules say them. */
const { topics: profileTopics } = claimsFor([]);
const profileRules: TopicRule[] = [
  ...profileTopics!.publish.map((name) => ({ action: 'publish', topic: name }) as const),
  ...profileTopics!.subscribe.map((name) => ({ action: 'subscribe', topic: name }) as const),
];

const words = ['a', 'b'];
const topic = fc.constantFrom(...allFilters(words, 3));
const rule: fc.Arbitrary<TopicRule> = fc.record(
  {
    action: fc.constantFrom('publish', 'subscribe', 'all'),
    topic,
    qos: fc.subarray([0, 1, 2] as (0 | 1 | 2)[], { minLength: 1, maxLength: 2 }),
  },
  { requiredKeys: ['action', 'topic'] },
);
const requests: fc.Arbitrary<TopicRequest> = fc.oneof(
  fc.record({
    action: fc.constant('publish' as const),
    topic: fc.constantFrom(...allTopics([...words, 'z'], 3)),
    qos: fc.constantFrom(0 as const, 1 as const, 2 as const),
    retain: fc.boolean(),
  }),
  fc.record({
    action: fc.constant('subscribe' as const),
    filter: fc.constantFrom(...allFilters([...words, 'z'], 3)),
    qos: fc.constantFrom(0 as const, 1 as const, 2 as const),
  }),
);

describe('the claims of a device token', () => {
  it('say who it is, for whom, and the rights of the profile in every encoding', () => {
    const claims = claimsFor([]);
    expect(claims).toMatchObject({
      iss: 'https://x', aud: 'portcullis-mqtt', sub: ID, scope: 'device', tid: TENANT, jti: ID, iat: 1_000, exp: 1_060,
    });
    expect(claims.topics).toEqual({
      publish: ['telemetry', 'status', 'ack', 'events/#'].map((channel) => `devices/${ID}/${channel}`),
      subscribe: [
        `devices/${ID}/commands`, `devices/${ID}/config/#`, `devices/$broadcast/${TENANT}/#`, `devices/$group/${GROUP}/#`,
      ],
    });
    expect({ publish: claims.publ, subscribe: claims.subs }).toEqual(claims.topics);
    expect(claims.acl.flatMap((entry) => entry.topics)).toEqual([...claims.topics!.publish, ...claims.topics!.subscribe]);
  });

  it('bear the plain lists only where the installation asks for them', () => {
    expect(Object.keys(claimsFor([], []))).not.toEqual(expect.arrayContaining(['topics']));
    expect(claimsFor([], [])).not.toHaveProperty('publ');
    expect(claimsFor([], ['publ-subs'])).not.toHaveProperty('topics');
    expect(claimsFor([], ['topics'])).not.toHaveProperty('subs');
  });

  it('leave rules that narrow QoS or retain out of lists that cannot say so', () => {
    const claims = claimsFor([
      { action: 'publish', topic: 'x/qos', qos: [0] },
      { action: 'publish', topic: 'x/retain', retain: false },
      { action: 'publish', topic: 'x/any' },
    ]);
    expect(claims.topics?.publish).toContain('x/any');
    expect(claims.topics?.publish).not.toContain('x/qos');
    expect(claims.publ).not.toContain('x/retain');
  });

  it('agree in all encodings: none grants what the rules refuse, and what each can say it grants', () => {
    fc.assert(
      fc.property(fc.array(rule, { maxLength: 4 }), requests, (rules, request) => {
        const claims = claimsFor(rules);
        const decided = authorize(compileRules([...rules, ...profileRules]), request).allow;
        const list = { publish: claims.publ ?? [], subscribe: claims.subs ?? [] };
        expect(claims.topics).toEqual(list);
        const plain = granted(list, request);
        const listed = evaluate(claims.acl, request);
        if (!decided) expect([plain, listed === 'allow']).toEqual([false, false]);
        if (rules.every((one) => one.qos === undefined)) {
          expect(plain).toBe(decided);
          if (rules.every(listable)) expect(listed === 'allow').toBe(decided);
        }
      }),
      { numRuns: 5_000 },
    );
  });
});
