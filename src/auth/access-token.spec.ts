import { hasOurHeader, readClaims } from './access-token.js';

const NOW = Date.parse('2026-06-01T12:00:00Z');
const SECONDS = NOW / 1000;
const GOOD = {
  sub: '0b0e7a8e-6f0a-4c52-9a0e-2f1f3a6c9d10',
  sid: '5d1f1f0e-50c4-4e0b-8a55-3f2b7f1f7c11',
  tid: '9a8b7c6d-5e4f-4a3b-8c2d-1e0f9a8b7c6d',
  iat: SECONDS - 10,
  exp: SECONDS + 3590,
};
const encode = (header: unknown) => `${Buffer.from(JSON.stringify(header)).toString('base64url')}.e30.c2ln`;

describe('the claims of a web token', () => {
  it('name account, session and tenant', () => {
    expect(readClaims(GOOD, NOW)).toEqual({ userId: GOOD.sub, sessionId: GOOD.sid, tenantId: GOOD.tid });
    expect(readClaims({ ...GOOD, tid: undefined }, NOW)?.tenantId).toBeNull();
  });

  it('hold until the second they end, not in it', () => {
    expect(readClaims(GOOD, (GOOD.exp - 1) * 1000)).not.toBeNull();
    expect(readClaims(GOOD, GOOD.exp * 1000)).toBeNull();
  });

  it('give no role and no permission, whatever the token says', () => {
    const claims = readClaims({ ...GOOD, role: 'ADMIN', permissions: ['users.user.create'], scope: 'admin' }, NOW);
    expect(Object.keys(claims ?? {}).sort()).toEqual(['sessionId', 'tenantId', 'userId']);
  });

  it.each([
    ['a life of more than an hour', { exp: GOOD.iat + 3601 }],
    ['an issue from the future', { iat: SECONDS + 61, exp: SECONDS + 120 }],
    ['no end', { exp: undefined }],
    ['no beginning', { iat: undefined }],
    ['an end as text', { exp: String(GOOD.exp) }],
    ['a fractional end', { exp: GOOD.exp + 0.5 }],
    ['an end that is no number', { exp: Number.NaN }],
    ['a beginning of validity still to come', { nbf: SECONDS + 1 }],
    ['a beginning of validity that is no number', { nbf: 'now' }],
    ['no account', { sub: undefined }],
    ['an account in capitals', { sub: GOOD.sub.toUpperCase() }],
    ['an account that is no id', { sub: 'admin' }],
    ['several accounts', { sub: [GOOD.sub] }],
    ['no session', { sid: undefined }],
    ['a tenant that is no id', { tid: 'default' }],
    ['a null tenant', { tid: null }],
  ])('are refused with %s', (_, change) => expect(readClaims({ ...GOOD, ...change }, NOW)).toBeNull());

  it.each([[null], ['text'], [undefined], [[]], [7]])('are not read from %p', (payload) => expect(readClaims(payload, NOW)).toBeNull());
});

describe('the header of a web token', () => {
  it('is exactly algorithm and type', () => expect(hasOurHeader(encode({ alg: 'HS256', typ: 'at+jwt' }))).toBe(true));

  it.each([
    ['no algorithm', { alg: 'none', typ: 'at+jwt' }],
    ['another HMAC', { alg: 'HS512', typ: 'at+jwt' }],
    ['an asymmetric algorithm', { alg: 'RS256', typ: 'at+jwt' }],
    ['the algorithm in lower case', { alg: 'hs256', typ: 'at+jwt' }],
    ['the type of any JWT', { alg: 'HS256', typ: 'JWT' }],
    ['the type of a device token', { alg: 'HS256', typ: 'device+jwt' }],
    ['no type', { alg: 'HS256' }],
    ['a key id', { alg: 'HS256', typ: 'at+jwt', kid: '../../dev/null' }],
    ['a key set address', { alg: 'HS256', typ: 'at+jwt', jku: 'https://attacker.example/jwks.json' }],
    ['a key of its own', { alg: 'HS256', typ: 'at+jwt', jwk: { kty: 'oct', k: 'AA' } }],
    ['a certificate address', { alg: 'HS256', typ: 'at+jwt', x5u: 'https://attacker.example/c.pem' }],
    ['an extension that must be understood', { alg: 'HS256', typ: 'at+jwt', crit: ['b64'], b64: false }],
    ['a list in place of an object', ['HS256']],
    ['null', null],
  ])('is refused with %s', (_, header) => expect(hasOurHeader(encode(header))).toBe(false));

  it.each(['', '.', 'e30', '!!!.e30.c2ln', 'eyJhbGci.e30.c2ln'])('is not read from %p', (token) => {
    expect(hasOurHeader(token)).toBe(false);
  });
});
