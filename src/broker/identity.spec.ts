import { isCompactJws, looksLikeOurs, readClaim, readSubject } from './identity.js';
import type { ConnectQuestion } from './question.js';

const ID = '0f0e0d0c-0b0a-4908-8706-050403020100';
const OTHER = '1f0e0d0c-0b0a-4908-8706-050403020100';
const JWT = 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4IiwidGVzdCI6MX0.c2lnbmF0dXJl';
const DEVELOPMENT = { production: false, brokerCert: 'pem' } as const;
const PRODUCTION = { production: true, brokerCert: 'pem' } as const;

const question = (fields: Partial<ConnectQuestion>): ConnectQuestion => ({
  clientid: ID, username: ID, password: 'pcs_x', peerhost: '127.0.0.1', cert_common_name: '', cert_subject: '', cert_pem: '', listener_kind: '', ...fields,
});

describe('a client id', () => {
  it.each([
    [ID, { kind: 'device', id: ID, name: ID }],
    [`${ID}:a_B-9`, { kind: 'device', id: ID, name: ID }],
    [`svc:${ID}`, { kind: 'service', id: ID, name: `svc:${ID}` }],
    [`svc:${ID}:worker-1`, { kind: 'service', id: ID, name: `svc:${ID}` }],
  ])('%s names its subject', (clientid, subject) => {
    expect(readSubject(clientid)).toEqual(subject);
  });

  it.each([
    ['empty', ''],
    ['upper case', ID.toUpperCase()],
    ['braces', `{${ID}}`],
    ['without dashes', ID.replaceAll('-', '')],
    ['an empty suffix', `${ID}:`],
    ['a suffix of 33', `${ID}:${'a'.repeat(33)}`],
    ['a suffix with a dot', `${ID}:a.b`],
    ['a second suffix', `${ID}:a:b`],
    ['a suffix with a newline', `${ID}:a\n`],
    ['a slash behind', `${ID}/x`],
    ['a NUL behind', `${ID}\u0000`],
    ['a space before', ` ${ID}`],
    ['a service in capitals', `SVC:${ID}`],
    ['a wildcard', `${ID}:+`],
    ['a full-width digit', ID.replace('0', '０')],
  ])('with %s names nobody', (_, clientid) => {
    expect(readSubject(clientid)).toBeNull();
  });
});

describe('a claim', () => {
  it('takes exactly one proof: the token if the password has its shape, else the secret', () => {
    expect(readClaim(question({}), DEVELOPMENT)).toMatchObject({ proof: { kind: 'secret', secret: 'pcs_x' } });
    expect(readClaim(question({ password: JWT }), DEVELOPMENT)).toMatchObject({ proof: { kind: 'token', token: JWT } });
  });

  it.each<[string, Partial<ConnectQuestion>, string]>([
    ['another username', { username: OTHER }, 'USERNAME_MISMATCH'],
    ['the username of a suffixed client id', { clientid: `${ID}:a`, username: `${ID}:a` }, 'USERNAME_MISMATCH'],
    ['a service under a device name', { clientid: `svc:${ID}`, username: ID }, 'USERNAME_MISMATCH'],
    ['no username with a secret', { username: '' }, 'USERNAME_MISSING'],
    ['nothing at all', { username: '', password: '' }, 'PROOF_MISSING'],
    ['no password', { password: '' }, 'PROOF_MISSING'],
    ['a foreign client id', { clientid: 'sensor-1' }, 'CLIENTID_INVALID'],
    ['a certificate by name alone', { cert_common_name: ID }, 'CERT_PEM_MISSING'],
    ['a certificate at the door for secrets', { cert_pem: 'MIIB', cert_common_name: ID, listener_kind: 'token' }, 'LISTENER_MISMATCH'],
    ['a certificate under another username', { cert_pem: 'MIIB', username: 'x' }, 'USERNAME_MISMATCH'],
    ['a secret on the mTLS listener', { listener_kind: 'mtls' }, 'LISTENER_MISMATCH'],
    ['a listener of unknown kind', { listener_kind: 'ssl:default' }, 'LISTENER_MISMATCH'],
  ])('with %s is refused', (_, fields, reason) => {
    expect(readClaim(question(fields), DEVELOPMENT)).toBe(reason);
  });

  it('is proven by the certificate where one is shown, and by nothing beside it', () => {
    expect(readClaim(question({ cert_pem: 'MIIB', cert_common_name: ID, username: '' }), DEVELOPMENT)).toMatchObject({
      subject: { id: ID }, proof: { kind: 'certificate', certificate: 'MIIB' },
    });
  });

  it('may leave the username out with a token', () => {
    expect(readClaim(question({ username: '', password: JWT }), DEVELOPMENT)).toMatchObject({ subject: { id: ID } });
  });

  it('must say its listener in production', () => {
    expect(readClaim(question({}), PRODUCTION)).toBe('LISTENER_MISSING');
    expect(readClaim(question({ listener_kind: 'token' }), PRODUCTION)).toMatchObject({ subject: { id: ID } });
  });
});

describe('the shape of ours', () => {
  it.each([
    ['client id', { clientid: ID.toUpperCase() }],
    ['username', { username: `svc:${OTHER}` }],
    ['certificate name', { cert_common_name: OTHER }],
    ['certificate', { cert_pem: 'MIIB' }],
    ['token', { password: JWT }],
    ['secret', { password: 'pcs_abc' }],
  ])('in the %s alone keeps other authenticators out', (_, fields) => {
    expect(looksLikeOurs(question({ clientid: 'sensor-1', username: 'alice', password: 'pw', ...fields }))).toBe(true);
  });

  it('is not seen in a foreign client', () => {
    expect(looksLikeOurs(question({ clientid: 'sensor-1', username: 'alice', password: 'pw' }))).toBe(false);
  });

  it('of a JWT is three base64url segments', () => {
    expect(isCompactJws(JWT)).toBe(true);
    expect(isCompactJws(`${JWT}.x`)).toBe(false);
    expect(isCompactJws(JWT.replaceAll('.', '..'))).toBe(false);
  });
});
