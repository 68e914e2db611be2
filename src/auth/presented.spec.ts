import { presentedBy } from './presented.js';

const TOKEN = 'aaa.bbb.ccc';
const basic = (text: string) => `Basic ${Buffer.from(text, 'utf8').toString('base64')}`;

describe('the credential of a request', () => {
  it('is the bearer token, in any case of the scheme', () => {
    for (const scheme of ['Bearer', 'bearer', 'BEARER']) {
      expect(presentedBy(`${scheme} ${TOKEN}`, undefined)).toEqual({ kind: 'token', token: TOKEN, by: 'bearer' });
    }
  });

  it('is the cookie where there is no Authorization header', () => {
    expect(presentedBy(undefined, TOKEN)).toEqual({ kind: 'token', token: TOKEN, by: 'cookie' });
    expect(presentedBy(undefined, undefined)).toEqual({ kind: 'none' });
  });

  it('is one: a header beside a cookie must bear the very same token', () => {
    expect(presentedBy(`Bearer ${TOKEN}`, TOKEN)).toEqual({ kind: 'token', token: TOKEN, by: 'bearer' });
    expect(presentedBy('Bearer aaa.bbb.ccd', TOKEN)).toEqual({ kind: 'conflict' });
    expect(presentedBy(basic('id:secret'), TOKEN)).toEqual({ kind: 'conflict' });
    expect(presentedBy('', TOKEN)).toEqual({ kind: 'conflict' });
    expect(presentedBy('Negotiate abc', TOKEN)).toEqual({ kind: 'conflict' });
  });

  it('may be Basic; the password may hold colons and any text', () => {
    expect(presentedBy(basic('id:pcs_a:b'), undefined)).toEqual({ kind: 'basic', user: 'id', password: 'pcs_a:b' });
    expect(presentedBy(basic(':'), undefined)).toEqual({ kind: 'basic', user: '', password: '' });
    expect(presentedBy(basic('ü:ß'), undefined)).toEqual({ kind: 'basic', user: 'ü', password: 'ß' });
  });

  it.each([
    ['an empty header', ''],
    ['a scheme alone', 'Bearer'],
    ['two tokens', `Bearer ${TOKEN} ${TOKEN}`],
    ['a list of credentials', `Bearer ${TOKEN}, Bearer ${TOKEN}`],
    ['a token of two parts', 'Bearer aaa.bbb'],
    ['an unsigned token', 'Bearer aaa.bbb.'],
    ['a JWE', 'Bearer a.b.c.d.e'],
    ['padding', 'Bearer aaa.bbb.ccc='],
    ['Basic without a colon', basic('nobody')],
    ['Basic that is no base64', 'Basic !!!!'],
    ['another scheme', 'Digest username="x"'],
  ])('is not read from %s', (_, header) => expect(presentedBy(header, undefined)).toEqual({ kind: 'unreadable' }));
});
