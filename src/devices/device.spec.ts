import { DEVICE_STATES, nextStates, SLUG_PATTERN } from './device.js';
import { renderRule } from './topic-rule.js';

describe('the state table', () => {
  it('lets every state but the last end, and nothing leave the last', () => {
    for (const status of DEVICE_STATES) {
      const ends = nextStates({ status, statusBeforeQuarantine: 'ACTIVE' }).includes('DECOMMISSIONED');
      expect([status, ends]).toEqual([status, status !== 'DECOMMISSIONED']);
    }
  });

  it('knows no way from a state to itself and none back to PENDING', () => {
    for (const status of DEVICE_STATES) {
      const next = nextStates({ status, statusBeforeQuarantine: 'ACTIVE' });
      expect(next).not.toContain(status);
      expect(next).not.toContain('PENDING');
    }
  });

  it.each(['ACTIVE', 'SUSPENDED'] as const)('leads out of a quarantine that was entered from %s back there only', (origin) => {
    expect(nextStates({ status: 'QUARANTINED', statusBeforeQuarantine: origin })).toEqual([origin, 'DECOMMISSIONED']);
  });
});

describe('a slug', () => {
  it('can always stand in a topic as a part of one level', () => {
    const alphabet = [...'abcz0189._-'];
    for (const first of alphabet) {
      for (const second of alphabet) {
        const slug = first + second;
        if (!SLUG_PATTERN.test(slug)) continue;
        const rule = renderRule({ action: 'publish', topic: 't/x/${device.slug}/y' }, { 'device.slug': slug });
        expect(rule?.topic).toBe(`t/x/${slug}/y`);
      }
    }
  });

  it.each(['a/b', 'a+', 'a#', '$a', 'A', 'ä', '-a', '.a', '', 'a'.repeat(64), 'a\n', 'a b'])('is never %j', (slug) => {
    expect(SLUG_PATTERN.test(slug)).toBe(false);
  });
});
