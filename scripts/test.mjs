/**
 * `npm test`: prepares the checkout, checks types, style and architecture, then runs every test; its last line is
 * `N passed, N failed`. With arguments only Jest runs, and they are Jest's (`npm test -- --selectProjects unit`).
 * `--long` lets tests that bound their own length take the long one.
 */
import { spawn } from 'node:child_process';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { npm, prepare, ROOT } from './prepare.mjs';

const CHECKS = ['typecheck', 'lint', 'architecture'];
const JEST = path.join(ROOT, 'node_modules', 'jest', 'bin', 'jest.js');
/** Time Jest has to end after its results are written; what still holds it open then is a leak. */
const LEAVE_MS = 30_000;
/** More files than this do not fail because a machine is busy. */
const MOST_REPEATED = 25;

const CI = process.env.CI === 'true';
const long = process.argv.includes('--long');
const jestArguments = process.argv.slice(2).filter((word) => word !== '--long');

try {
  await prepare();
} catch (error) {
  process.stdout.write(`${error.message}\n0 passed, 1 failed\n`);
  process.exit(1);
}
const failures = [];
if (jestArguments.length === 0) {
  for (const check of CHECKS) {
    process.stdout.write(`\n> ${check}\n`);
    const [command, words] = npm('run', '--silent', check);
    if ((await run(command, words)) !== 0) failures.push(`${check} failed`);
  }
}
const { passed, failed, skipped } = await runJest();
if (passed + failed === 0) failures.push('no test ran');
if (CI && skipped > 0) failures.push('tests were skipped, and CI runs them all');
for (const failure of failures) process.stdout.write(`${failure}\n`);
process.stdout.write(`${passed} passed, ${failed + failures.length} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`);
process.exit(failed + failures.length > 0 ? 1 : 0);

/**
 * Runs Jest and counts. Files that failed beside others are run once more, alone, and named: many of them start servers and wait for
 * events, and a machine that is too busy for two of them at a time says nothing about the code. What fails alone has failed.
 */
async function runJest() {
  const first = await runJestOnce(jestArguments);
  if (first.failedFiles.length === 0 || first.failedFiles.length > MOST_REPEATED || jestArguments.length > 0) return first;
  process.stdout.write(`\n> once more, alone:\n${first.failedFiles.map(({ name }) => `  ${path.relative(ROOT, name)}`).join('\n')}\n`);
  const second = await runJestOnce(['--runInBand', '--runTestsByPath', ...first.failedFiles.map(({ name }) => name)]);
  const passedBefore = first.failedFiles.reduce((sum, { passed }) => sum + passed, 0);
  const skippedBefore = first.failedFiles.reduce((sum, { skipped }) => sum + skipped, 0);
  return {
    passed: first.passed - passedBefore + second.passed,
    failed: second.failed,
    skipped: first.skipped - skippedBefore + second.skipped,
  };
}

/** A file that cannot be run is one failure more, as is a Jest that fails or does not end. */
async function runJestOnce(words) {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'portcullis-jest-'));
  const file = path.join(folder, 'results.json');
  try {
    const code = await run(process.execPath, [JEST, '--json', `--outputFile=${file}`, ...(CI ? ['--ci'] : []), ...words], { endsSoonAfter: file });
    const results = await fs.readFile(file, 'utf8').then(JSON.parse, () => undefined);
    if (!results) return { passed: 0, failed: code === 0 ? 0 : 1, skipped: 0, failedFiles: [] };
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
    const count = (tests, ...states) => tests.filter(({ status }) => states.includes(status)).length;
    return {
      passed: results.numPassedTests,
      failed: failed === 0 && code !== 0 ? 1 : failed,
      skipped: results.numPendingTests + results.numTodoTests,
      failedFiles: results.testResults.filter(({ status }) => status === 'failed').map(({ name, assertionResults }) => ({
        name,
        passed: count(assertionResults, 'passed'),
        skipped: count(assertionResults, 'pending', 'todo'),
      })),
    };
  } finally {
    await fs.rm(folder, { recursive: true, force: true });
  }
}

/** @returns exit code, or the signal's name */
async function run(command, words, { endsSoonAfter } = {}) {
  const env = long ? { ...process.env, PORTCULLIS_LONG: '1' } : process.env;
  const child = spawn(command, words, { cwd: ROOT, env, stdio: ['ignore', 'inherit', 'inherit'] });
  const watch = endsSoonAfter && setInterval(() => void killIfStuck(child, endsSoonAfter), 1_000);
  try {
    return await new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => resolve(signal ?? code));
    });
  } finally {
    clearInterval(watch);
  }
}

async function killIfStuck(child, file) {
  const written = await fs.stat(file).then((found) => found.mtimeMs, () => Infinity);
  if (Date.now() - written < LEAVE_MS) return;
  process.stdout.write('Jest does not end: a test left a handle open (run it with --detectOpenHandles).\n');
  child.kill('SIGKILL');
}
