import { compileFacts, readFacts, type FactsRow, type PlainFacts } from './facts.js';
import { authorize } from './topic.decision.js';

const TENANT = '11111111-1111-4111-8111-111111111111';
const DEVICE = '22222222-2222-4222-8222-222222222222';
const GROUP = '33333333-3333-4333-8333-333333333333';
const OPTIONS = { prefix: 'devices', profile: 'directional', terminal: 'callback' } as const;

const ROW: FactsRow = {
  kind: 'device',
  id: DEVICE,
  tenant_id: TENANT,
  tenant_status: 'ACTIVE',
  status: 'ACTIVE',
  slug: 'pump-1',
  version: '7',
  allowed_proofs: null,
  tokens_not_before: null, clockless: false,
  groups: [GROUP],
  rules: [{ action: 'publish', topic: 't/${tenant.id}/${device.slug}', qos: null, retain: null }],
};

const plain = (overrides: Partial<FactsRow> = {}): PlainFacts => readFacts({ ...ROW, ...overrides });
const publishable = (facts: PlainFacts, topic: string): boolean =>
  authorize(compileFacts(facts, OPTIONS).rules, { action: 'publish', topic, qos: 0, retain: false }).allow;

describe('facts of a device', () => {
  it('grant the profile, its groups\' channels and the extra rules, variables filled in', () => {
    const { topics } = compileFacts(plain(), OPTIONS);
    expect(topics.publish).toContain(`devices/${DEVICE}/telemetry`);
    expect(topics.publish).toContain(`t/${TENANT}/pump-1`);
    expect(topics.subscribe).toContain(`devices/$group/${GROUP}/#`);
    expect(topics.subscribe).toContain(`devices/$broadcast/${TENANT}/#`);
  });

  it.each([['PENDING', 'provision'], ['QUARANTINED', 'remediation']])('confine a %s device to its %s topics', (status, channel) => {
    const { topics } = compileFacts(plain({ status }), OPTIONS);
    expect(topics).toEqual({ publish: [`devices/${DEVICE}/${channel}/up`], subscribe: [`devices/${DEVICE}/${channel}/down`] });
  });

  it.each(['SUSPENDED', 'DECOMMISSIONED'])('grant a %s device nothing', (status) => {
    const facts = compileFacts(plain({ status }), OPTIONS);
    expect(facts.rules.all).toEqual([]);
    expect(facts.topics).toEqual({ publish: [], subscribe: [] });
  });

  it('drop a rule whose value would change the shape of the filter', () => {
    for (const slug of ['a/b', '+', '#', '']) expect(publishable(plain({ slug }), `t/${TENANT}/${slug}`)).toBe(false);
  });

  it('round the line for tokens up: a token of the same second may be older than the line', () => {
    expect(plain({ tokens_not_before: new Date(1_700_000_000_001) }).tokensNotBefore).toBe(1_700_000_001);
    expect(plain({ tokens_not_before: new Date(1_700_000_000_000) }).tokensNotBefore).toBe(1_700_000_000);
  });

  it('say that the tenant is frozen', () => {
    expect(compileFacts(plain({ tenant_status: 'FROZEN' }), OPTIONS).tenantStatus).toBe('FROZEN');
  });

  it('are the same after a journey through a cache', () => {
    const facts = plain({ rules: [{ action: 'all', topic: 't/${tenant.id}/#', qos: [0, 1], retain: true }] });
    expect(compileFacts(JSON.parse(JSON.stringify(facts)) as PlainFacts, OPTIONS)).toEqual(compileFacts(facts, OPTIONS));
  });
});

describe('facts of a service account', () => {
  const service: Partial<FactsRow> = {
    kind: 'service',
    slug: null,
    groups: [],
    rules: [
      { action: 'subscribe', topic: 'verified/${tenant.id}/#', qos: null, retain: null },
      { action: 'publish', topic: 't/${tenant.id}/${device.slug}', qos: null, retain: null },
    ],
  };

  it('are its own rules and nothing else; a rule that names a device is dropped', () => {
    expect(compileFacts(plain(service), OPTIONS).topics).toEqual({ publish: [], subscribe: [`verified/${TENANT}/#`] });
  });

  it('grant a disabled one nothing', () => {
    expect(compileFacts(plain({ ...service, status: 'DISABLED' }), OPTIONS).rules.all).toEqual([]);
  });
});
