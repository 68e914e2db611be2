import { fingerprintOf, type JsonValue } from './fingerprint.js';
import { holdsSecret } from './one-time-secret.js';

const hash = (url: string, body?: JsonValue): string => fingerprintOf('POST', url, body).bodyHash.toString('hex');

describe('fingerprintOf', () => {
  it('names the route without its query', () => {
    expect(fingerprintOf('DELETE', '/api/v1/devices/1?reason=lost', undefined).route).toBe('DELETE /api/v1/devices/1');
  });

  it('pays no heed to the order of members, at any depth', () => {
    expect(hash('/x', { a: 1, b: { c: [1, { d: 2, e: 3 }], f: null } })).toBe(hash('/x', { b: { f: null, c: [1, { e: 3, d: 2 }] }, a: 1 }));
  });

  it.each<[string, string, JsonValue | undefined, string, JsonValue | undefined]>([
    ['values', '/x', { a: 1 }, '/x', { a: 2 }],
    ['types', '/x', { a: 1 }, '/x', { a: '1' }],
    ['the order of items', '/x', [1, 2], '/x', [2, 1]],
    ['the query', '/x?a=1', undefined, '/x?a=2', undefined],
    ['where query and body meet', '/x?a', 1, '/x?a1', undefined],
    ['a body or none', '/x', undefined, '/x', null],
  ])('tells requests apart that differ in %s', (_what, url, body, otherUrl, otherBody) => {
    expect(hash(url, body)).not.toBe(hash(otherUrl, otherBody));
  });

  it('refuses a body that would exhaust the stack', () => {
    const body = JSON.parse('['.repeat(20_000) + ']'.repeat(20_000)) as JsonValue;
    expect(() => fingerprintOf('POST', '/x', body)).toThrow(expect.objectContaining({ code: 'MALFORMED_REQUEST' }));
  });
});

describe('holdsSecret', () => {
  it.each<[string, JsonValue]>([
    ['a client secret', { id: 1, client_secret: 'x' }],
    ['a token below the top', { credentials: [{ access_token: 'x' }] }],
    ['a private key under any name', { bundle: '-----BEGIN EC PRIVATE KEY-----\n' }],
    ['a secret of ours under any name', { value: `pcc_${'a'.repeat(43)}` }],
    ['a JSON web token under any name', { value: 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.sig' }],
    ['a bare secret', 'pcs_abc'],
  ])('sees %s', (_what, answer) => {
    expect(holdsSecret(answer)).toBe(true);
  });

  it.each<[string, JsonValue | undefined]>([
    ['nothing', undefined],
    ['a device', { id: 'x', status: 'ACTIVE', metadata: { tokenCount: 3 }, certificate: '-----BEGIN CERTIFICATE-----' }],
    ['a secret that is not told', { client_secret: null }],
  ])('does not see one in %s', (_what, answer) => {
    expect(holdsSecret(answer)).toBe(false);
  });
});
