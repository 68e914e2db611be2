import fs from 'node:fs/promises';
import path from 'node:path';
import { PLATFORM_BUNDLES, Permission, ROLE_BUNDLES } from '../../src/access/permission.js';
import { ALL_REASONS } from '../../src/broker/reason-catalogue.js';
import { ERROR_CATALOGUES } from '../../src/catalogue.js';
import { generatedDocs } from '../../src/docs.js';
import { VARIABLES } from '../../src/platform/config/variables.js';

const ROOT = path.resolve(__dirname, '..', '..');
const GENERATED = ['errors.md', 'permissions.md', 'configuration.md', 'audit-events.md', 'broker-linter.md', 'openapi.json'];
const METHODS = ['get', 'put', 'post', 'delete', 'patch'] as const;
/** Directories whose Markdown is ours and is read by people. */
const READ_BY_PEOPLE = ['.', 'docs', 'docs/decisions', 'src'];

interface Operation {
  readonly 'x-permission'?: string;
  readonly 'x-on'?: string;
  readonly tags?: string[];
  readonly responses: Record<string, { content?: Record<string, { schema?: unknown }> }>;
}

interface Document {
  readonly paths: Record<string, Partial<Record<(typeof METHODS)[number], Operation>>>;
  readonly components: { readonly schemas: Record<string, unknown> };
}

async function markdownBelow(folder: string): Promise<string[]> {
  const deep = folder === 'src';
  const names = await fs.readdir(path.join(ROOT, folder), { recursive: deep });
  return names.filter((name) => name.endsWith('.md')).map((name) => path.join(folder, name));
}

/** Anchors of a page as GitHub makes them from its headings. */
function anchorsOf(text: string): string[] {
  const headings = [...text.matchAll(/^#+ (.+)$/gm)].map((match) => String(match[1]).toLowerCase());
  return headings.map((heading) => heading.replace(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-'));
}

describe('the documents', () => {
  let generated: ReadonlyMap<string, string>;
  let api: Document;

  beforeAll(async () => {
    generated = await generatedDocs();
    api = JSON.parse(generated.get('openapi.json') ?? '') as Document;
  });

  const page = (name: string): string => generated.get(name) ?? '';
  const operations = () => Object.entries(api.paths).flatMap(([route, item]) => METHODS.flatMap((method) => {
    const operation = item[method];
    return operation ? [{ name: `${method.toUpperCase()} ${route}`, operation }] : [];
  }));
  const printed = (page: string, name: string) => generated.get(page)?.includes(`| \`${name}\` |`) === true;

  it.each(GENERATED)(
    'docs/%s says what the code says (npm run docs prints it anew)',
    async (name) => {
      expect(await fs.readFile(path.join(ROOT, 'docs', name), 'utf8')).toBe(page(name));
    },
  );

  it('print the same whoever prints them, and nothing that is not compared here', async () => {
    expect([...generated.keys()].sort()).toEqual([...GENERATED].sort());
    expect([...(await generatedDocs())]).toEqual([...generated]);
  });

  it('give each error code to one room only, and print every one', () => {
    const codes = ERROR_CATALOGUES.flatMap((catalogue) => Object.keys(catalogue));
    expect(codes.filter((code, index) => codes.indexOf(code) !== index)).toEqual([]);
    expect(codes.filter((code) => !printed('errors.md', code))).toEqual([]);
    expect(codes.filter((code) => !/^[A-Z][A-Z0-9_]+$/.test(code))).toEqual([]);
  });

  it('print every reason of the door with a meaning', () => {
    const reasons = Object.entries(ALL_REASONS);
    expect(reasons.filter(([reason, meaning]) => meaning === '' || !printed('errors.md', reason))).toEqual([]);
  });

  it('print every variable once', () => {
    const names = Object.values(VARIABLES).flat().map(({ name }) => name as string);
    expect(new Set(names).size).toBe(names.length);
    expect(names.filter((name) => !printed('configuration.md', name))).toEqual([]);
  });

  it('name every variable in .env.example, and no other', async () => {
    const text = await fs.readFile(path.join(ROOT, '.env.example'), 'utf8');
    const named = [...text.matchAll(/^#?([A-Z][A-Z0-9_]+)=/gm)].map((match) => String(match[1]));
    const known = Object.values(VARIABLES).flat().map(({ name }) => name as string);
    expect(named.sort()).toEqual(known.sort());
  });

  it('state the access of every route', () => {
    const known: readonly string[] = ['public', 'session', ...Object.values(Permission)];
    expect(operations().length).toBeGreaterThan(40);
    const silent = operations().filter(({ operation }) => !known.includes(operation['x-permission'] ?? ''));
    expect(silent.map(({ name }) => name)).toEqual([]);
  });

  it('state the object of every route whose path names a device or a group, so that roles on it count', () => {
    // A certificate is named by its serial (`/certs/{serial}`): who has a role on its device alone goes by the path of the device.
    const named = operations().map(({ name, operation }) => ({
      name,
      on: operation['x-on'],
      object: /\/devices\/\{id\}/.test(name) ? 'device' : /\/groups\/\{id\}/.test(name) ? 'group' : /\{(deviceId|groupId)\}/.test(name) ? 'id' : undefined,
    }));
    expect(named.filter(({ object }) => object !== undefined).length).toBeGreaterThan(30);
    expect(named.filter(({ on, object }) => on !== object)).toEqual([]);
  });

  it('demand only permissions that some role has', () => {
    const granted = [...Object.values(ROLE_BUNDLES), ...Object.values(PLATFORM_BUNDLES)].flat().map(String);
    const possible = new Set(['public', 'session', ...granted]);
    expect(operations().filter(({ operation }) => !possible.has(operation['x-permission'] ?? ''))).toEqual([]);
  });

  it('give every route a tag, a described answer and a described refusal', () => {
    const poor = operations().filter(({ operation }) => {
      const successes = Object.entries(operation.responses).filter(([status]) => /^2/.test(status));
      const described = successes.some(([status, { content = {} }]) =>
        status === '204' || Object.values(content).some(({ schema }) => schema !== undefined));
      return !described || operation.responses['default'] === undefined || (operation.tags ?? []).length === 0;
    });
    expect(poor.map(({ name }) => name)).toEqual([]);
  });

  it('refer to shapes that exist', () => {
    const matches = page('openapi.json').matchAll(/"\$ref": "#\/components\/schemas\/([^"]+)"/g);
    const references = [...matches].map((match) => String(match[1]));
    expect(references.length).toBeGreaterThan(20);
    expect(references.filter((name) => !Object.hasOwn(api.components.schemas, name))).toEqual([]);
  });

  it('link to pages and headings that exist', async () => {
    const broken: string[] = [];
    for (const file of (await Promise.all(READ_BY_PEOPLE.map(markdownBelow))).flat()) {
      const text = await fs.readFile(path.join(ROOT, file), 'utf8');
      for (const match of text.matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)/g)) {
        const [, target = '', anchor] = match;
        const wanted = target === '' ? path.join(ROOT, file) : path.resolve(ROOT, path.dirname(file), target);
        const there = await fs.stat(wanted).catch(() => null);
        const good = there && (anchor === undefined || anchorsOf(await fs.readFile(wanted, 'utf8')).includes(anchor));
        if (!good) broken.push(`${file}: ${target}${anchor === undefined ? '' : `#${anchor}`}`);
      }
    }
    expect(broken).toEqual([]);
  });

  it('name only files and commands that exist', async () => {
    const manifest = JSON.parse(await fs.readFile(path.join(ROOT, 'package.json'), 'utf8')) as { scripts: object };
    const scripts = Object.keys(manifest.scripts);
    const wrong: string[] = [];
    for (const file of (await Promise.all(READ_BY_PEOPLE.map(markdownBelow))).flat()) {
      const text = await fs.readFile(path.join(ROOT, file), 'utf8');
      for (const [words, script = ''] of text.matchAll(/npm run ([\w:]+)/g)) {
        if (!scripts.includes(script)) wrong.push(`${file}: ${words}`);
      }
      for (const [, name = ''] of text.matchAll(/`((?:src|test|docs|docker|scripts)\/[\w./-]+)`/g)) {
        if (!(await fs.stat(path.join(ROOT, name)).catch(() => null))) wrong.push(`${file}: ${name}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it('write a decision on one page with the same four parts', async () => {
    for (const file of await markdownBelow('docs/decisions')) {
      const text = await fs.readFile(path.join(ROOT, file), 'utf8');
      expect(path.basename(file)).toMatch(/^\d{4}-[a-z0-9-]+\.md$/);
      expect(text).toMatch(new RegExp(`^# ${Number(path.basename(file).slice(0, 4))}\\. `));
      const parts = [...text.matchAll(/^## (.+)$/gm)].map((match) => match[1]);
      expect(parts).toEqual(['Context', 'Decision', 'Consequences', 'When to reopen']);
      expect(text.split('\n').length).toBeLessThan(70);
    }
  });
});
