import { randomUUID } from 'node:crypto';
import type { Reply, TestApp } from './app.js';

export interface Schema {
  readonly $ref?: string;
  readonly type?: string;
  readonly format?: string;
  readonly enum?: readonly unknown[];
  readonly example?: unknown;
  readonly minimum?: number;
  readonly minLength?: number;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly allOf?: readonly Schema[];
}

interface RawOperation {
  readonly 'x-on'?: string;
  readonly 'x-lists'?: string;
  readonly 'x-permission'?: string;
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly required?: boolean; readonly schema?: Schema }[];
  readonly responses?: Readonly<Record<string, { readonly content?: Readonly<Record<string, unknown>> }>>;
  readonly requestBody?: { readonly content?: Readonly<Record<string, { readonly schema?: Schema }>> };
}

export interface OpenApi {
  readonly paths: Readonly<Record<string, Readonly<Record<string, RawOperation>>>>;
  readonly components?: { readonly schemas?: Readonly<Record<string, Schema>> };
}

/** One operation of the document, with a body that its shape accepts. */
export interface Operation {
  readonly method: string;
  /** Below `/api/v1`, with its `{parameters}`. */
  readonly path: string;
  /** `public`, `session`, or a permission. */
  readonly access: string;
  /** The kind of object that the path's `id` names, where a role bound to it counts. */
  readonly on: string | undefined;
  readonly lists: string | undefined;
  readonly reads: boolean;
  /** The answer goes on until somebody hangs up. */
  readonly streams: boolean;
  readonly body: unknown;
  /** Required parameters of the query string. */
  readonly query: string;
}

const PREFIX = '/api/v1';

/** Every operation below `/api/v1`, in the order of the document. */
export function operationsOf(document: OpenApi): Operation[] {
  return Object.entries(document.paths)
    .filter(([path]) => path.startsWith(`${PREFIX}/`))
    .flatMap(([path, methods]) => Object.entries(methods).map(([method, operation]) => {
      const schema = operation.requestBody?.content?.['application/json']?.schema;
      const query = (operation.parameters ?? []).filter((given) => given.in === 'query' && given.required === true)
        .map(({ name, schema: shape }) => `${name}=${encodeURIComponent(String(sampleOf(shape ?? {}, document)))}`);
      return {
        method: method.toUpperCase(),
        path: path.slice(PREFIX.length),
        access: operation['x-permission'] ?? 'undeclared',
        on: operation['x-on'],
        lists: operation['x-lists'],
        reads: method === 'get',
        streams: operation.responses?.['200']?.content?.['text/event-stream'] !== undefined,
        body: schema === undefined ? undefined : sampleOf(schema, document),
        query: query.length === 0 ? '' : `?${query.join('&')}`,
      };
    }));
}

/** The smallest value that a schema accepts. */
function sampleOf(schema: Schema, document: OpenApi): unknown {
  if (schema.example !== undefined) return schema.example;
  if (schema.$ref !== undefined) return sampleOf(document.components?.schemas?.[schema.$ref.split('/').at(-1) ?? ''] ?? {}, document);
  if (schema.allOf?.[0]) return sampleOf(schema.allOf[0], document);
  if (schema.enum) return schema.enum[0];
  switch (schema.type) {
    case 'object':
      return Object.fromEntries((schema.required ?? []).map((name) => [name, sampleOf(schema.properties?.[name] ?? {}, document)]));
    case 'array':
      return [];
    case 'integer':
    case 'number':
      return schema.minimum ?? 1;
    case 'boolean':
      return false;
    default:
      return textOf(schema);
  }
}

function textOf({ format, minLength = 1 }: Schema): string {
  if (format === 'uuid') return randomUUID();
  if (format === 'email') return 'sample@example.test';
  if (format === 'date-time') return '2030-01-01T00:00:00Z';
  return 'sample-text-of-some-length'.padEnd(minLength, 'x').slice(0, Math.max(minLength, 12));
}

export function codeOf({ status, body }: Reply<unknown>): string {
  return `${status} ${(body as { code?: string } | undefined)?.code ?? ''}`.trim();
}

/** Whether `probe` can find out how the guard answers without ending the object: a call without a body does its work. */
export function canProbe({ reads, body, path }: Operation): boolean {
  return reads || body !== undefined || /\{\w+\}.*\{/.test(path);
}

/** Calls an operation on an object with a body that is refused behind the guard, or about a part of the object that nobody has. */
export async function probe(app: TestApp, { method, path, body, reads }: Operation, id: string, headers: Record<string, string>): Promise<string> {
  const filled = path.replace('{id}', id).replace(/\{\w+\}/g, () => randomUUID());
  const answer = await app.call(method, filled, reads || body === undefined ? undefined : { ...(body as object), surplus: true }, headers);
  return codeOf(answer);
}

/** Whether the answer of a probe is the guard's refusal. */
export function refused(code: string): boolean {
  return ['PERMISSION_DENIED', 'DEVICE_NOT_FOUND', 'GROUP_NOT_FOUND', 'NOT_FOUND'].includes(code.slice(4));
}
