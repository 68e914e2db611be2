import { MAX_METADATA_BYTES, MAX_METADATA_DEPTH, metadataProblem } from './metadata.js';

function nested(depth: number): Record<string, unknown> {
  let value: Record<string, unknown> = {};
  for (let i = 1; i < depth; i += 1) value = { a: value };
  return value;
}

describe('metadata of a device', () => {
  it('may be anything that JSON can say within its bounds', () => {
    expect(metadataProblem({})).toBeNull();
    expect(metadataProblem({ site: 'Nürnberg 🏭', n: 1.5, list: [1, [2, null]], ok: true, deep: nested(4) })).toBeNull();
  });

  it('is refused where it nests deeper than eight levels, however deep', () => {
    expect(metadataProblem(nested(MAX_METADATA_DEPTH))).toBeNull();
    expect(metadataProblem(nested(MAX_METADATA_DEPTH + 2))).toMatch(/nest/);
    expect(metadataProblem(nested(13_000))).toMatch(/nest/);
  });

  it('is measured in bytes of UTF-8, not in characters', () => {
    const frame = Buffer.byteLength(JSON.stringify({ a: '' }));
    const fits = 'é'.repeat((MAX_METADATA_BYTES - frame) / 2);
    expect(metadataProblem({ a: fits })).toBeNull();
    expect(metadataProblem({ a: `${fits}é` })).toMatch(/bytes/);
  });

  it.each([
    ['a NUL in a value', { a: 'x\u0000' }],
    ['a NUL in a name', { 'x\u0000': 1 }],
    ['half a surrogate pair in a value', { a: ['\ud800'] }],
    ['half a surrogate pair in a name', { b: { '\udc00x': 1 } }],
  ])('is refused with %s, which the database cannot keep', (_, metadata) => {
    expect(metadataProblem(metadata)).toMatch(/NUL/);
  });
});
