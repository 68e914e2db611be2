import { Histogram, Registry } from 'prom-client';
import { QuickHistogram } from './quick-histogram.js';

const DESCRIPTION = { name: 'answer_seconds', help: 'How long answers take.', buckets: [0.001, 0.01, 0.1] };
/** Between bounds, on them, at both ends. */
const VALUES = [0, 0.0005, 0.001, 0.0010001, 0.01, 0.05, 0.1, 0.5, 30];

describe('A quick histogram', () => {
  it('prints what prom-client’s own prints for the same values', async () => {
    const [ours, theirs] = [new Registry(), new Registry()];
    const quick = new QuickHistogram({ ...DESCRIPTION, label: 'door', values: ['auth', 'acl'], registry: ours });
    const usual = new Histogram({ ...DESCRIPTION, labelNames: ['door'], registers: [theirs] });
    for (const door of ['auth', 'acl']) {
      for (const value of door === 'auth' ? VALUES : VALUES.slice(3)) {
        quick.note(door, value);
        usual.observe({ door }, value);
      }
    }
    const printed = await ours.metrics();
    expect(printed).toContain('answer_seconds_bucket{le="0.001",door="auth"} 3');
    expect(printed).toBe(await theirs.metrics());
  });

  it('shows every announced series from the start, and counts no other', async () => {
    const registry = new Registry();
    const quick = new QuickHistogram({ ...DESCRIPTION, label: 'door', values: ['auth'], registry });
    quick.note('window', 1);
    const printed = await registry.metrics();
    expect(printed).toContain('answer_seconds_count{door="auth"} 0');
    expect(printed).not.toContain('window');
  });
});
