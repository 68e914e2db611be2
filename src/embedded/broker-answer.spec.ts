import { readAuthAnswer } from './broker-answer.js';

const NOW = Date.parse('2026-03-01T12:00:00Z');
const SECOND = NOW / 1000;

function outcome(answer: Record<string, unknown>): unknown {
  const verdict = readAuthAnswer({ result: 'allow', ...answer }, NOW);
  return verdict.allow ? 'allow' : verdict.returnCode;
}

describe('the answer to a CONNECT', () => {
  it('lets in on the word allow alone', () => {
    expect(outcome({})).toBe('allow');
    for (const result of ['deny', 'ignore', 'ALLOW', ' allow', '', true, 1, null, undefined, ['allow']]) {
      expect([result, outcome({ result })]).toEqual([result, 5]);
    }
  });

  it('takes expire_at only as a future time in whole seconds', () => {
    expect([SECOND + 1, SECOND + 86_400].map((end) => outcome({ expire_at: end }))).toEqual(['allow', 'allow']);
    const bad = [SECOND, SECOND - 1, 0, -1, SECOND + 1.5, NOW + 1000, String(SECOND + 60), null, Infinity, true];
    for (const end of bad) {
      expect([end, outcome({ expire_at: end })]).toEqual([end, 4]);
    }
  });

  it('takes client_attrs only as a map of strings', () => {
    for (const attrs of [{ ver: 7 }, { ver: null }, { ver: true }, { ver: {} }, { ver: ['7'] }, null, [], 'x', 1]) {
      expect([attrs, outcome({ client_attrs: attrs })]).toEqual([attrs, 5]);
    }
    const verdict = readAuthAnswer({ result: 'allow', client_attrs: { device: 'd', 'no good': 'x', _x: 'y' } }, NOW);
    expect(verdict.allow && [...verdict.grant.attrs]).toEqual([['device', 'd']]);
  });

  it('takes acl only as a list of well-formed rules', () => {
    expect(outcome({ acl: [] })).toBe('allow');
    expect(outcome({ acl: [{ permission: 'allow', action: 'all', topics: ['a/#'] }] })).toBe('allow');
    expect([null, {}, 'x'].map((acl) => outcome({ acl }))).toEqual([5, 5, 5]);
    expect(outcome({ acl: [{ permission: 'allow', action: 'everything', topics: ['a'] }] })).toBe(4);
    expect(outcome({ acl: [null] })).toBe(4);
  });

  it('makes nobody superuser', () => {
    const verdict = readAuthAnswer({ result: 'allow', is_superuser: true }, NOW);
    expect(verdict).toEqual({ allow: true, grant: { acl: [], expireAt: null, attrs: new Map() } });
  });
});
