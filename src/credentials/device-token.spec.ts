import { createHmac, generateKeyPairSync, randomUUID, sign, type KeyObject } from 'node:crypto';
import {
  hs256Key, judgeToken, MAX_TOKEN_BYTES, parseToken, readIdentity, signToken, verifySignature, verifySignatureAside,
  type TokenIdentity, type TokenKey,
} from './device-token.js';
import type { DeviceClaims } from './token-claims.js';

const ISSUER = 'https://portcullis.test';
const NOW = Date.parse('2026-01-01T12:00:00Z');
const SECONDS = NOW / 1000;
const KID = 'W'.repeat(43);

const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const publicKey: TokenKey = { kid: KID, algorithm: 'ES256', key: pair.publicKey };
const privateKey: TokenKey = { ...publicKey, key: pair.privateKey };
const symmetric = hs256Key('a symmetric secret of at least 32 characters');
const ring = new Map([[KID, publicKey], [symmetric.kid, symmetric]]);

const claims: DeviceClaims = {
  iss: ISSUER, aud: 'portcullis-mqtt', sub: randomUUID(), scope: 'device', tid: randomUUID(), jti: randomUUID(),
  iat: SECONDS, exp: SECONDS + 3_600, acl: [],
};

/** The whole of what a verifier concludes without looking anything up but the key. */
function conclude(token: string): TokenIdentity | string {
  const parsed = parseToken(token);
  if (parsed === null) return 'TOKEN_MALFORMED';
  const key = ring.get(parsed.kid);
  if (key === undefined) return 'TOKEN_KEY_UNKNOWN';
  return verifySignature(parsed, key) ? readIdentity(parsed, ISSUER) : 'TOKEN_SIGNATURE';
}

const segment = (value: unknown): string => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

/** A token with any header and payload, signed in earnest by our own key. */
function forge(header: object, payload: unknown = claims, key: KeyObject = pair.privateKey): string {
  const input = `${segment(header)}.${segment(payload)}`;
  return `${input}.${sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

function forgeHmac(header: object, secret: string | Buffer, payload: unknown = claims): string {
  const input = `${segment(header)}.${segment(payload)}`;
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
}

const HEADER = { alg: 'ES256', typ: 'device+jwt', kid: KID };

describe('a device token', () => {
  it('is what was signed, under either algorithm', async () => {
    for (const [key, kid] of [[privateKey, KID], [symmetric, 'hs256']] as const) {
      const token = signToken(claims, key);
      expect(conclude(token)).toEqual({
        subject: claims.sub, tenantId: claims.tid, credentialId: claims.jti, issuedAt: claims.iat, expiresAt: claims.exp, kid,
      });
      const parsed = parseToken(token)!;
      expect(parsed).toMatchObject({ kid, alg: key.algorithm, typ: 'device+jwt' });
      await expect(verifySignatureAside(parsed, ring.get(kid)!)).resolves.toBe(true);
    }
    expect(forge(HEADER).split('.')).toHaveLength(3);
    expect(conclude(forge(HEADER))).toMatchObject({ subject: claims.sub });
  });

  const jwk = pair.publicKey.export({ format: 'jwk' });
  const pem = pair.publicKey.export({ format: 'pem', type: 'spki' });
  const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const strangerJwk = stranger.publicKey.export({ format: 'jwk' });
  const good = signToken(claims, privateKey);
  const [head = '', body = '', tail = ''] = good.split('.');

  it.each<[string, string, string]>([
    ['alg none, no signature', `${segment({ ...HEADER, alg: 'none' })}.${body}.`, 'TOKEN_MALFORMED'],
    ['alg none over a real signature', `${segment({ ...HEADER, alg: 'none' })}.${body}.${tail}`, 'TOKEN_SIGNATURE'],
    ['alg nOnE', forge({ ...HEADER, alg: 'nOnE' }), 'TOKEN_SIGNATURE'],
    ['HS256 under the public key as PEM', forgeHmac({ ...HEADER, alg: 'HS256' }, pem), 'TOKEN_SIGNATURE'],
    ['HS256 under the public key as JWK', forgeHmac({ ...HEADER, alg: 'HS256' }, JSON.stringify(jwk)), 'TOKEN_SIGNATURE'],
    ['HS256 under the public key as DER', forgeHmac({ ...HEADER, alg: 'HS256' }, pair.publicKey.export({ format: 'der', type: 'spki' })), 'TOKEN_SIGNATURE'],
    ['HS256 under an empty secret', forgeHmac({ ...HEADER, alg: 'HS256' }, ''), 'TOKEN_SIGNATURE'],
    ['our HMAC under the id of the EC key', forgeHmac({ ...HEADER, alg: 'HS256' }, 'a symmetric secret of at least 32 characters'), 'TOKEN_SIGNATURE'],
    ['our EC signature under the id of the HMAC key', forge({ ...HEADER, kid: 'hs256' }), 'TOKEN_SIGNATURE'],
    ['our EC signature that calls itself HS256', forge({ ...HEADER, alg: 'HS256' }), 'TOKEN_SIGNATURE'],
    ['ES384 in the header', forge({ ...HEADER, alg: 'ES384' }), 'TOKEN_SIGNATURE'],
    ["a stranger's key", forge(HEADER, claims, stranger.privateKey), 'TOKEN_SIGNATURE'],
    ["a stranger's key in jwk", forge({ ...HEADER, jwk: strangerJwk }, claims, stranger.privateKey), 'TOKEN_SIGNATURE'],
    ["a stranger's key in jku", forge({ ...HEADER, jku: 'https://evil.test/jwks.json' }, claims, stranger.privateKey), 'TOKEN_SIGNATURE'],
    ["a stranger's key in x5u and x5c", forge({ ...HEADER, x5u: 'https://evil.test/c', x5c: ['MIIB'] }, claims, stranger.privateKey), 'TOKEN_SIGNATURE'],
    ['a kid that is a path', forge({ ...HEADER, kid: '../../../../dev/null' }), 'TOKEN_KEY_UNKNOWN'],
    ['a kid that is SQL', forge({ ...HEADER, kid: "x' UNION SELECT 'AA" }), 'TOKEN_KEY_UNKNOWN'],
    ['a kid that is a member of every object', forge({ ...HEADER, kid: '__proto__' }), 'TOKEN_KEY_UNKNOWN'],
    ['a kid of another type', forge({ ...HEADER, kid: [KID] }), 'TOKEN_MALFORMED'],
    ['no kid', forge({ alg: 'ES256', typ: 'device+jwt' }), 'TOKEN_MALFORMED'],
    ['crit', forge({ ...HEADER, crit: ['exp'] }), 'TOKEN_MALFORMED'],
    ['a web token', forgeHmac({ alg: 'HS256', typ: 'at+jwt' }, 'web'), 'TOKEN_MALFORMED'],
    ['typ at+jwt', forge({ ...HEADER, typ: 'at+jwt' }), 'TOKEN_CLAIMS'],
    ['typ JWT', forge({ ...HEADER, typ: 'JWT' }), 'TOKEN_CLAIMS'],
    ['no typ', forge({ alg: 'ES256', kid: KID }), 'TOKEN_CLAIMS'],
    ['another issuer', forge(HEADER, { ...claims, iss: `${ISSUER}/` }), 'TOKEN_CLAIMS'],
    ['another audience', forge(HEADER, { ...claims, aud: 'portcullis-api' }), 'TOKEN_CLAIMS'],
    ['a list of audiences', forge(HEADER, { ...claims, aud: ['portcullis-mqtt'] }), 'TOKEN_CLAIMS'],
    ['another scope', forge(HEADER, { ...claims, scope: 'device admin' }), 'TOKEN_CLAIMS'],
    ['48 h, signed in earnest', forge(HEADER, { ...claims, exp: SECONDS + 172_800 }), 'TOKEN_TOO_LONG'],
    ['24 h and a second', forge(HEADER, { ...claims, exp: SECONDS + 86_401 }), 'TOKEN_TOO_LONG'],
    ['no end', forge(HEADER, { ...claims, exp: undefined }), 'TOKEN_MALFORMED'],
    ['an end that is text', forge(HEADER, { ...claims, exp: String(SECONDS + 60) }), 'TOKEN_MALFORMED'],
    ['an end in fractions', forge(HEADER, { ...claims, exp: SECONDS + 0.5 }), 'TOKEN_MALFORMED'],
    ['an end beyond all numbers', forge(HEADER, `${JSON.stringify(claims).slice(0, -1)},"exp":1e400}`), 'TOKEN_MALFORMED'],
    ['no time of issue', forge(HEADER, { ...claims, iat: null }), 'TOKEN_MALFORMED'],
    ['a subject in capitals', forge(HEADER, { ...claims, sub: claims.sub.toUpperCase() }), 'TOKEN_MALFORMED'],
    ['a subject with a suffix', forge(HEADER, { ...claims, sub: `${claims.sub}:a` }), 'TOKEN_MALFORMED'],
    ['claims in a list', forge(HEADER, [claims]), 'TOKEN_MALFORMED'],
    ['claims that are null', forge(HEADER, 'null'), 'TOKEN_MALFORMED'],
    ['claims that are no JSON', forge(HEADER, '{'), 'TOKEN_MALFORMED'],
    ['a signature of zeros', `${head}.${body}.${Buffer.alloc(64).toString('base64url')}`, 'TOKEN_SIGNATURE'],
    ['a signature of ones', `${head}.${body}.${Buffer.alloc(64, 0xff).toString('base64url')}`, 'TOKEN_SIGNATURE'],
    ['a cut signature', `${head}.${body}.${Buffer.from(tail, 'base64url').subarray(0, 63).toString('base64url')}`, 'TOKEN_SIGNATURE'],
    ['a DER signature', `${head}.${body}.${sign('sha256', Buffer.from(`${head}.${body}`), pair.privateKey).toString('base64url')}`, 'TOKEN_SIGNATURE'],
    ['another payload under the signature', `${head}.${segment({ ...claims, sub: randomUUID() })}.${tail}`, 'TOKEN_SIGNATURE'],
    ['nothing', '', 'TOKEN_MALFORMED'],
    ['dots', '..', 'TOKEN_MALFORMED'],
    ['two segments', `${head}.${body}`, 'TOKEN_MALFORMED'],
    ['four segments', `${good}.${tail}`, 'TOKEN_MALFORMED'],
    ['a segment twice', `${head}.${head}.${body}.${tail}`, 'TOKEN_MALFORMED'],
    ['padding', `${good}=`, 'TOKEN_MALFORMED'],
    ['padding within', `${head}=.${body}.${tail}`, 'TOKEN_MALFORMED'],
    ['a blank before', ` ${good}`, 'TOKEN_MALFORMED'],
    ['a line break behind', `${good}\n`, 'TOKEN_MALFORMED'],
    ['NUL within', `${head}.${body}\u0000.${tail}`, 'TOKEN_MALFORMED'],
    ['letters that look alike', good.replace('e', '\u0435'), 'TOKEN_MALFORMED'],
    ['a lone surrogate', `${head}\ud800.${body}.${tail}`, 'TOKEN_MALFORMED'],
    ['the standard alphabet', `${head}.${body}.${'+/'.repeat(43)}`, 'TOKEN_MALFORMED'],
    ['too much of it', `${'A'.repeat(MAX_TOKEN_BYTES)}.${body}.${tail}`, 'TOKEN_MALFORMED'],
  ])('is not: %s', async (_, token, reason) => {
    expect(conclude(token)).toBe(reason);
    const parsed = parseToken(token);
    const key = parsed && ring.get(parsed.kid);
    if (parsed && key) expect(await verifySignatureAside(parsed, key)).toBe(verifySignature(parsed, key));
  });

  it('has one spelling: stray bits in the last character of a segment are refused', () => {
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    for (const letter of alphabet) {
      const token = good.slice(0, -1) + letter;
      if (token !== good) expect(typeof conclude(token)).toBe('string');
    }
  });

  it('ignores keys that its header brings along when the signature is ours', () => {
    expect(conclude(forge({ ...HEADER, jwk: strangerJwk, jku: 'https://evil.test', x5u: 'https://evil.test' }))).toMatchObject({ subject: claims.sub });
  });

  describe('at a given time', () => {
    const identity = conclude(good) as TokenIdentity;
    const none = { tokensNotBefore: null, revoked: new Set<string>() };

    it('counts until its last second, and from a minute before it was issued', () => {
      expect(judgeToken(identity, none, NOW)).toBeNull();
      expect(judgeToken(identity, none, claims.exp * 1000 - 1)).toBeNull();
      expect(judgeToken(identity, none, claims.exp * 1000)).toBe('TOKEN_EXPIRED');
      expect(judgeToken(identity, none, NOW - 60_000)).toBeNull();
      expect(judgeToken(identity, none, NOW - 60_001)).toBe('TOKEN_NOT_YET');
    });

    it('falls with its revocation, and with a line drawn after it was issued', () => {
      expect(judgeToken(identity, { ...none, revoked: new Set([claims.jti]) }, NOW)).toBe('TOKEN_REVOKED');
      expect(judgeToken(identity, { ...none, revoked: new Set([randomUUID()]) }, NOW)).toBeNull();
      expect(judgeToken(identity, { ...none, tokensNotBefore: SECONDS + 1 }, NOW)).toBe('TOKEN_SUPERSEDED');
      expect(judgeToken(identity, { ...none, tokensNotBefore: SECONDS }, NOW)).toBeNull();
    });
  });
});
