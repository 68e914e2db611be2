import { createHash } from 'node:crypto';
import { platformError } from '../platform/problem/platform.errors.js';

/** What `JSON.parse` answers. */
export type JsonValue = string | number | boolean | null | JsonValue[] | { [name: string]: JsonValue };

/** What makes a repetition the same request. */
export interface Fingerprint {
  /** Method and path, as `POST /api/v1/devices`. */
  readonly route: string;
  /** SHA-256 of query and body. */
  readonly bodyHash: Buffer;
}

/** Far beyond any body of ours, far below what would exhaust the stack. */
const MAX_DEPTH = 100;

/**
 * Members in any order, and white space of any kind, make no other request; another value does.
 * @throws MALFORMED_REQUEST for a body nested more than 100 levels deep
 */
export function fingerprintOf(method: string, url: string, body: JsonValue | undefined): Fingerprint {
  const at = url.indexOf('?');
  const path = at === -1 ? url : url.slice(0, at);
  const query = at === -1 ? '' : url.slice(at + 1);
  const text = `${query.length}:${query}${body === undefined ? '' : canonical(body, 0)}`;
  return { route: `${method} ${path}`, bodyHash: createHash('sha256').update(text, 'utf8').digest() };
}

/** JSON with the members of every object sorted by their UTF-16 units (as RFC 8785 §3.2.3 does it). */
function canonical(value: JsonValue, depth: number): string {
  if (depth > MAX_DEPTH) throw platformError('MALFORMED_REQUEST', { detail: 'The body is nested too deeply.' });
  if (Array.isArray(value)) return `[${value.map((item) => canonical(item, depth + 1)).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const members = Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${canonical(value[name] ?? null, depth + 1)}`);
  return `{${members.join(',')}}`;
}
