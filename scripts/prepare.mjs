/**
 * What stands between a fresh clone and a running program: the right Node, installed packages, a build of the
 * present sources. Node's built-in modules only, as nothing else may be there yet.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { withLock } from './lock.mjs';

export const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

const at = (...parts) => path.join(ROOT, ...parts);
const LOCK_FILE = at('package-lock.json');
const INSTALLED_RECORD = at('node_modules', '.portcullis-lock');
const BUILT_RECORD = at('dist', '.built');
const BUILD_SETTINGS = ['.swcrc', 'nest-cli.json', 'tsconfig.json', 'package.json', 'package-lock.json'];

/**
 * Installs and builds what is missing or out of date; silent when nothing is. Several callers in one checkout wait
 * for each other.
 * @throws Error with a sentence for the person at the terminal.
 */
export async function prepare() {
  checkNode();
  if ((await isInstalled()) && (await isBuilt())) return;
  await fs.mkdir(at('.cache'), { recursive: true });
  await withLock(at('.cache', 'prepare'), async () => {
    if (!(await isInstalled())) await install();
    if (!(await isBuilt())) await build();
  });
}

/** Runs `prepare` and turns its failure into one line and exit code 1: for the commands people type. */
export async function prepareOrExit() {
  try {
    await prepare();
  } catch (error) {
    process.stderr.write(`portcullis: ${error.message}\n`);
    process.exit(1);
  }
}

export function checkNode(version = process.versions.node) {
  const [major, minor] = version.split('.').map(Number);
  const fits = (major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major > 22;
  if (!fits) throw new Error(`Node ${version} does not fit: Portcullis needs Node 20.19 or newer 20.x, or 22.12 or newer.`);
}

async function isInstalled() {
  const wanted = digest([await fs.readFile(LOCK_FILE)]);
  const recorded = await fs.readFile(INSTALLED_RECORD, 'utf8').catch(() => '');
  if (recorded === wanted) return true;
  if (!(await matchesInstalledTree())) return false;
  await fs.writeFile(INSTALLED_RECORD, wanted);
  return true;
}

/** True when somebody ran npm by hand and every package of the lock file is there in its version. */
async function matchesInstalledTree() {
  const present = await readJson(at('node_modules', '.package-lock.json'));
  const wanted = await readJson(LOCK_FILE);
  if (!present || !wanted) return false;
  return Object.entries(wanted.packages).every(([place, { version, optional, devOptional }]) => {
    const found = present.packages[place];
    return place === '' || (found ? found.version === version : Boolean(optional || devOptional));
  });
}

async function install() {
  process.stderr.write('Installing packages (npm ci), this takes a minute…\n');
  // The build needs the development packages, whatever NODE_ENV says.
  await run('Installing the packages failed', ...npm('ci', '--include=dev', '--no-audit', '--no-fund'));
  await fs.writeFile(INSTALLED_RECORD, digest([await fs.readFile(LOCK_FILE)]));
}

async function isBuilt() {
  return (await fs.readFile(BUILT_RECORD, 'utf8').catch(() => '')) === (await sourcesDigest());
}

/** Builds beside `dist` and swaps, so a program started meanwhile never sees half a build. */
async function build() {
  process.stderr.write('Building…\n');
  const fresh = `dist.next-${process.pid}`;
  const settings = at('.cache', `${fresh}.json`);
  const sources = await sourcesDigest();
  const nest = at('node_modules', '@nestjs', 'cli', 'bin', 'nest.js');
  try {
    const compilerOptions = { outDir: `../${fresh}`, rootDir: '../src' };
    await fs.writeFile(settings, JSON.stringify({ extends: '../tsconfig.json', compilerOptions, include: ['../src'] }));
    await run('The build failed', process.execPath, [nest, 'build', '--silent', '--path', path.relative(ROOT, settings)]);
    await fs.writeFile(at(fresh, '.built'), sources);
    await fs.rm(at(`${fresh}.old`), { recursive: true, force: true });
    await fs.rename(at('dist'), at(`${fresh}.old`)).catch(() => undefined);
    await fs.rename(at(fresh), at('dist'));
  } finally {
    for (const left of [at(fresh), at(`${fresh}.old`), settings]) await fs.rm(left, { recursive: true, force: true });
  }
}

/** One hash over everything a build is made from: names and contents, so that no clock is trusted. */
async function sourcesDigest() {
  const sources = (await fs.readdir(at('src'), { recursive: true })).map((name) => path.join('src', name));
  const files = [...sources.filter((name) => name.endsWith('.ts') && !name.endsWith('.spec.ts')).sort(), ...BUILD_SETTINGS];
  const contents = await Promise.all(files.map((name) => fs.readFile(at(name))));
  return digest(files.flatMap((name, index) => [name, contents[index]]));
}

function digest(parts) {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}:`).update(part);
  return hash.digest('hex');
}

async function readJson(file) {
  return fs.readFile(file, 'utf8').then(JSON.parse, () => undefined);
}

/** The npm that called us, else the one on PATH: command and arguments for spawn. */
export function npm(...args) {
  const caller = process.env.npm_execpath ?? '';
  return /npm-cli\.c?js$/.test(caller) ? [process.execPath, [caller, ...args]] : ['npm', args];
}

/** Runs a command in the checkout, quiet unless it fails. */
async function run(whenItFails, command, args) {
  const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  const result = await new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(signal ?? code));
  });
  if (result !== 0) throw new Error(`${whenItFails} (${result}):\n${output.trim()}`);
}
