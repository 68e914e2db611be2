export const MAX_METADATA_BYTES = 16 * 1024;
export const MAX_METADATA_DEPTH = 8;

/** What the database cannot keep in JSONB: NUL, and halves of surrogate pairs. */
const UNSTORABLE = /\u0000|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;

/** Says in words why a device cannot bear this metadata (a parsed JSON object), or null if it can. */
export function metadataProblem(metadata: Readonly<Record<string, unknown>>): string | null {
  // Level by level rather than by recursion: a body of 64 KiB can nest deeper than the stack is.
  let level: readonly unknown[] = [metadata];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > MAX_METADATA_DEPTH) return `metadata must not nest deeper than ${MAX_METADATA_DEPTH} levels`;
    const inner = level.filter((value) => isObject(value));
    const words = [...level.filter((value) => typeof value === 'string'), ...inner.flatMap((value) => Object.keys(value))];
    if (words.some((word) => UNSTORABLE.test(word))) return 'metadata must hold whole characters and no NUL';
    level = inner.flatMap((value) => Object.values(value) as unknown[]);
  }
  return Buffer.byteLength(JSON.stringify(metadata), 'utf8') > MAX_METADATA_BYTES
    ? `metadata must be at most ${MAX_METADATA_BYTES} bytes of JSON`
    : null;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
