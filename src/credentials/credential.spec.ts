import { randomBytes, randomUUID } from 'node:crypto';
import { digestSecret, newSecret } from './client-secret.js';
import { findShown, judgeSecret, type CredentialMaterial, type SecretMaterial } from './credential-material.js';
import { stateOf, type Validity } from './credential.js';

const NOW = Date.parse('2026-01-01T12:00:00Z');
const at = (ms: number): Date => new Date(NOW + ms);

describe('the state of a credential', () => {
  const plain: Validity = { notBefore: at(-1_000), expiresAt: null, supersededAt: null, revokedAt: null };

  it.each<[string, Partial<Validity>, string]>([
    ['valid', {}, 'active'],
    ['from now on', { notBefore: at(0) }, 'active'],
    ['later', { notBefore: at(1) }, 'pending'],
    ['until a later time', { expiresAt: at(1) }, 'active'],
    ['until now', { expiresAt: at(0) }, 'expired'],
    ['in its overlap', { supersededAt: at(-500), expiresAt: at(1) }, 'superseded'],
    ['after its overlap', { supersededAt: at(-500), expiresAt: at(0) }, 'expired'],
    ['revoked, whatever else', { supersededAt: at(-500), expiresAt: at(0), revokedAt: at(-1) }, 'revoked'],
  ])('%s', (_, change, state) => {
    expect(stateOf({ ...plain, ...change }, NOW)).toBe(state);
  });
});

describe('a secret against what is stored', () => {
  const owner = randomUUID();
  const key = randomBytes(32);
  const secret = newSecret('device');

  function holding(change: Partial<SecretMaterial>, list: 'live' | 'ended' = 'live'): CredentialMaterial {
    const credentialId = randomUUID();
    const row: SecretMaterial = {
      credentialId,
      key,
      digest: digestSecret(key, owner, credentialId, secret),
      notBefore: NOW - 1_000,
      expiresAt: null,
      revoked: false,
      ...change,
    };
    return { version: 1, live: [], ended: [], revoked: new Set(), [list]: [row] };
  }

  const judge = (material: CredentialMaterial, shown: string) => judgeSecret(findShown(material, owner, shown), NOW);

  it('is good without an end, or until its end', () => {
    expect(judge(holding({}), secret)).toMatchObject({ ok: true, endsAt: null });
    expect(judge(holding({ expiresAt: NOW + 1 }), secret)).toMatchObject({ ok: true, endsAt: NOW + 1 });
  });

  it('ends by the clock, although it was live when it was read', () => {
    expect(judge(holding({ expiresAt: NOW }), secret)).toEqual({ ok: false, reason: 'SECRET_EXPIRED', own: true });
  });

  it('is still recognised as one\'s own when it has ended', () => {
    expect(judge(holding({ expiresAt: NOW - 1 }, 'ended'), secret)).toMatchObject({ reason: 'SECRET_EXPIRED', own: true });
    expect(judge(holding({ revoked: true }, 'ended'), secret)).toMatchObject({ reason: 'SECRET_REVOKED', own: true });
    expect(judge(holding({}), newSecret('device'))).toMatchObject({ reason: 'SECRET_UNKNOWN', own: false });
  });

  it('may come from an instance whose clock is a minute ahead, not more', () => {
    expect(judge(holding({ notBefore: NOW + 60_000 }), secret)).toMatchObject({ ok: true });
    expect(judge(holding({ notBefore: NOW + 60_001 }), secret)).toMatchObject({ reason: 'SECRET_NOT_YET' });
  });
});
