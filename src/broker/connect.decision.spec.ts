import type { ProofVerdict } from '../credentials/credentials.gate.js';
import type { Facts } from '../devices/facts.js';
import { compileRules } from '../devices/topic.decision.js';
import { decideAcl, readAclClaim } from './acl.decision.js';
import { decideConnect, judgeStanding } from './connect.decision.js';
import type { AclQuestion } from './question.js';

const ID = '0f0e0d0c-0b0a-4908-8706-050403020100';
const NOW = Date.parse('2026-05-01T12:00:00.500Z');
const DAY = 86_400_000;

const facts = (fields: Partial<Facts> = {}): Facts => ({
  kind: 'device',
  id: ID,
  tenantId: 't',
  tenantStatus: 'ACTIVE',
  status: 'ACTIVE',
  slug: 'pump',
  version: 3,
  groups: [],
  allowedProofs: null,
  clockless: false,
  tokensNotBefore: null,
  rules: compileRules([{ action: 'publish', topic: `devices/${ID}/telemetry` }]),
  acl: [],
  topics: { publish: [], subscribe: [] },
  ...fields,
});

const good = (endsAt: number | null = null): ProofVerdict => ({ ok: true, credentialId: 'c', endsAt });

const decide = (overrides: Partial<Parameters<typeof decideConnect>[0]> = {}) =>
  decideConnect({ facts: facts(), stale: false, proof: good(), now: NOW, jitter: 0, sessionMaxMs: DAY, ...overrides });

describe('the standing of a subject', () => {
  it.each([
    ['ACTIVE', null],
    ['PENDING', null],
    ['QUARANTINED', null],
    ['SUSPENDED', 'DEVICE_SUSPENDED'],
    ['DECOMMISSIONED', 'DEVICE_DECOMMISSIONED'],
    ['SOMETHING_NEW', 'DEVICE_SUSPENDED'],
  ])('%s is judged %s', (status, reason) => {
    expect(judgeStanding(facts({ status }), false)).toBe(reason);
  });

  it('of a frozen tenant refuses whatever the device is', () => {
    expect(judgeStanding(facts({ tenantStatus: 'FROZEN' }), false)).toBe('TENANT_FROZEN');
  });

  it('on stale facts is good for ACTIVE alone', () => {
    expect(judgeStanding(facts(), true)).toBeNull();
    expect(judgeStanding(facts({ status: 'PENDING' }), true)).toBe('FACTS_STALE');
    expect(judgeStanding(facts({ status: 'QUARANTINED' }), true)).toBe('FACTS_STALE');
  });

  it('of a disabled service account refuses', () => {
    expect(judgeStanding(facts({ kind: 'service', status: 'DISABLED' }), false)).toBe('SERVICE_DISABLED');
    expect(judgeStanding(facts({ kind: 'service', status: 'PENDING' }), false)).toBe('SERVICE_DISABLED');
  });
});

describe('the verdict on a connect', () => {
  it('judges the state before the credential', () => {
    const proof: ProofVerdict = { ok: false, reason: 'SECRET_UNKNOWN', proven: null, possession: false };
    expect(decide({ facts: facts({ status: 'SUSPENDED' }), proof })).toEqual({ allow: false, reason: 'DEVICE_SUSPENDED' });
    expect(decide({ proof })).toEqual({ allow: false, reason: 'SECRET_UNKNOWN' });
  });

  it('ends with the proof if that ends first, in whole seconds', () => {
    const verdict = decide({ proof: good(NOW + 10_400) });
    expect(verdict).toMatchObject({ allow: true, expireAt: Math.floor((NOW + 10_400) / 1000) });
  });

  it('never lasts longer than the session maximum, and is spread over its last tenth', () => {
    expect(decide()).toMatchObject({ expireAt: Math.floor((NOW + DAY) / 1000) });
    expect(decide({ jitter: 0.999 })).toMatchObject({ expireAt: Math.floor((NOW + DAY * (1 - 0.0999)) / 1000) });
  });

  it('lasts five minutes on stale facts', () => {
    expect(decide({ stale: true })).toMatchObject({ expireAt: Math.floor((NOW + 300_000) / 1000) });
  });

  it('always names a second in the future, or refuses', () => {
    for (let endsIn = -2000; endsIn <= 2000; endsIn += 100) {
      const verdict = decide({ proof: good(NOW + endsIn) });
      if (verdict.allow) expect(verdict.expireAt).toBeGreaterThan(Math.floor(NOW / 1000));
      else expect(verdict.reason).toBe('PROOF_ENDED');
    }
  });
});

describe('the verdict on a topic', () => {
  const question = (fields: Partial<AclQuestion>): AclQuestion => ({
    clientid: ID, username: ID, topic: `devices/${ID}/telemetry`, action: 'publish', qos: '1', retain: 'false', peerhost: '', mountpoint: '', device: '', ...fields,
  });

  it.each<[string, Partial<AclQuestion>, string]>([
    ['a client id of nobody', { clientid: 'x' }, 'CLIENTID_INVALID'],
    ['another username', { username: 'alice' }, 'USERNAME_MISMATCH'],
    ['the attribute of another device', { device: ID.replace('0f', '1f') }, 'SUBJECT_MISMATCH'],
    ['a mountpoint', { mountpoint: 'mp/' }, 'MOUNTPOINT_UNSUPPORTED'],
    ['an unknown action', { action: 'all' }, 'ACTION_INVALID'],
    ['QoS 3', { qos: '3' }, 'ACTION_INVALID'],
    ['retain of neither value', { retain: 'yes' }, 'ACTION_INVALID'],
  ])('refuses %s before anything is looked up', (_, fields, reason) => {
    expect(readAclClaim(question(fields))).toBe(reason);
  });

  it('accepts the attribute and the suffix of the device itself', () => {
    expect(readAclClaim(question({ clientid: `${ID}:a`, device: ID }))).toMatchObject({ subject: { id: ID } });
  });

  it('is that of the standing first', () => {
    const request = { action: 'publish', topic: `devices/${ID}/telemetry`, qos: 1, retain: false } as const;
    expect(decideAcl(facts(), false, request)).toMatchObject({ allow: true });
    expect(decideAcl(facts({ status: 'SUSPENDED' }), false, request)).toEqual({ allow: false, reason: 'DEVICE_SUSPENDED' });
    expect(decideAcl(facts(), false, { ...request, topic: 'devices/other/telemetry' })).toEqual({ allow: false, reason: 'TOPIC_NOT_GRANTED' });
  });
});
