import { randomBytes } from 'node:crypto';
import { digestSecret, findSecret, hasSecretShape, newSecret, pretendToCompare, type SecretDigest } from './client-secret.js';

const key = randomBytes(32);
const owner = '6f9619ff-8b86-4011-b42d-00c04fc964ff';

function stored(id: string, secret: string, ownerId = owner): SecretDigest {
  return { credentialId: id, key, digest: digestSecret(key, ownerId, id, secret) };
}

describe('a client secret', () => {
  it('has 256 random bits behind a prefix that tells devices from service accounts', () => {
    const secrets = Array.from({ length: 1_000 }, () => newSecret('device'));
    expect(new Set(secrets).size).toBe(1_000);
    for (const secret of secrets) {
      expect(secret).toMatch(/^pcs_[A-Za-z0-9_-]{43}$/);
      expect(hasSecretShape('device', secret)).toBe(true);
      expect(hasSecretShape('service', secret)).toBe(false);
    }
    expect(hasSecretShape('service', newSecret('service'))).toBe(true);
  });

  it.each([
    ['nothing', ''],
    ['a cut one', newSecret('device').slice(0, -1)],
    ['a longer one', `${newSecret('device')}A`],
    ['a line break behind it', `${newSecret('device')}\n`],
    ['another alphabet', `pcs_${'+'.repeat(43)}`],
    ['stray bits in the last character', `pcs_${'A'.repeat(42)}B`],
  ])('of another shape is none: %s', (_, text) => {
    expect(hasSecretShape('device', text)).toBe(false);
    expect(() => pretendToCompare(text)).not.toThrow();
  });

  it('is found among several, by itself alone', () => {
    const [one, two] = [newSecret('device'), newSecret('device')];
    const rows = [stored('a', one), stored('b', two)];
    expect(findSecret(rows, owner, one)?.credentialId).toBe('a');
    expect(findSecret(rows, owner, two)?.credentialId).toBe('b');
    expect(findSecret(rows, owner, newSecret('device'))).toBeNull();
    expect(findSecret([], owner, one)).toBeNull();
  });

  it('verifies in its own row only: swapped digests and another owner verify nothing', () => {
    const [one, two] = [newSecret('device'), newSecret('device')];
    const [a, b] = [stored('a', one), stored('b', two)];
    const swapped = [{ ...a, digest: b.digest }, { ...b, digest: a.digest }];
    expect(findSecret(swapped, owner, one)).toBeNull();
    expect(findSecret(swapped, owner, two)).toBeNull();
    expect(findSecret([a], '00000000-0000-4000-8000-000000000000', one)).toBeNull();
    expect(findSecret([{ ...a, key: randomBytes(32) }], owner, one)).toBeNull();
  });

  it('is digested with unambiguous borders between its parts', () => {
    expect(digestSecret(key, 'ab', 'c', 'd')).not.toEqual(digestSecret(key, 'a', 'bc', 'd'));
    expect(digestSecret(key, 'a', 'b', '1:c')).not.toEqual(digestSecret(key, 'a', 'b1:', 'c'));
  });

  it('is not found by a digest of another length', () => {
    const secret = newSecret('device');
    expect(findSecret([{ ...stored('a', secret), digest: Buffer.alloc(0) }], owner, secret)).toBeNull();
  });
});
