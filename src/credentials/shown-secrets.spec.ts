import { randomBytes, randomUUID } from 'node:crypto';
import { digestSecret, newSecret } from './client-secret.js';
import type { CredentialMaterial, SecretMaterial } from './credential-material.js';
import { ShownSecrets } from './shown-secrets.js';

const owner = randomUUID();
const key = randomBytes(32);

function row(secret: string): SecretMaterial {
  const credentialId = randomUUID();
  return { credentialId, key, digest: digestSecret(key, owner, credentialId, secret), notBefore: 0, expiresAt: null, revoked: false };
}

function holding(...live: SecretMaterial[]): CredentialMaterial {
  return { version: 1, live, ended: [], revoked: new Set() };
}

/** Counts how often secrets are compared with what is stored. */
function watched(material: CredentialMaterial): { material: CredentialMaterial; looked: () => number } {
  let times = 0;
  return {
    material: {
      ...material,
      get live() {
        times += 1;
        return material.live;
      },
    },
    looked: () => times,
  };
}

describe('A secret that was shown before', () => {
  it('is found again without comparing it with what is stored', () => {
    const secret = newSecret('device');
    const kept = row(secret);
    const { material, looked } = watched(holding(kept));
    const shown = new ShownSecrets();
    expect([1, 2, 3].map(() => shown.find(material, owner, secret))).toEqual([kept, kept, kept]);
    expect(looked()).toBe(1);
  });

  it('lets in no other one, and one that was not found is looked for each time', () => {
    const secret = newSecret('device');
    const { material, looked } = watched(holding(row(secret)));
    const shown = new ShownSecrets();
    shown.find(material, owner, secret);
    const wrong = newSecret('device');
    expect([wrong, wrong, `${secret}A`, '', secret.slice(0, -1)].map((one) => shown.find(material, owner, one))).toEqual([null, null, null, null, null]);
    expect(looked()).toBe(6);
  });

  it('counts for its own material alone: newer material without it does not know it', () => {
    const secret = newSecret('device');
    const shown = new ShownSecrets();
    expect(shown.find(holding(row(secret)), owner, secret)).not.toBeNull();
    expect(shown.find(holding(row(newSecret('device'))), owner, secret)).toBeNull();
  });

  it('is told from another valid one of the same owner', () => {
    const [one, two] = [newSecret('device'), newSecret('device')];
    const [first, second] = [row(one), row(two)];
    const material = holding(first, second);
    const shown = new ShownSecrets();
    expect([one, two, one, two].map((secret) => shown.find(material, owner, secret))).toEqual([first, second, first, second]);
  });
});
