/**
 * The real services the tests run on: a PostgreSQL with a migrated template database and, where there is one, a
 * redis-server. Prints one line of JSON when they are up and stops them when its standard input closes, so they
 * never outlive the test run, however that ends.
 *
 * PORTCULLIS_TEST_REDIS=off: no Redis; =redis://…: that one instead of our own.
 */
import { spawn } from 'node:child_process';
import { access, mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { prepare, ROOT } from './prepare.mjs';

/** Roles are named by the policies of the template, so that every clone shares them. */
const ROLE_PREFIX = 'portcullis_test';
const TEMPLATE = 'portcullis_template';

const closed = new Promise((resolve) => {
  process.stdin.resume().once('end', resolve).once('error', resolve);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, resolve);
});

async function main() {
  await prepareUnlessStale();
  const folder = await mkdtemp(path.join(os.tmpdir(), 'portcullis-test-'));
  const stops = [() => rm(folder, { recursive: true, force: true })];
  try {
    const { startEmbeddedPostgres } = await import('../dist/embedded/postgres.js');
    const postgres = await startEmbeddedPostgres({ dataDir: path.join(folder, 'data'), fast: true });
    stops.unshift(() => postgres.stop());
    const redis = await startRedis(folder);
    if (redis.stop) stops.unshift(redis.stop);
    await prepareTemplate(postgres.url);
    process.stdout.write(`${JSON.stringify({ postgresUrl: postgres.url, redisUrl: redis.url })}\n`);
    await closed;
  } finally {
    for (const stop of stops) await stop();
  }
}

/** In development a file in the midst of an edit must not stop the tests of another: the last build will do. */
async function prepareUnlessStale() {
  try {
    await prepare();
  } catch (error) {
    const built = await access(path.join(ROOT, 'dist', 'embedded', 'postgres.js')).then(() => true, () => false);
    if (process.env.CI === 'true' || !built) throw error;
    process.stderr.write(`The test services use the last good build: ${error.message}\n`);
  }
}

/**
 * Creates the database every test file clones: `CREATE DATABASE x TEMPLATE portcullis_template`.
 * MIGRATIONS ARE WIRED IN HERE: until then the template is an empty database of the owner.
 */
async function prepareTemplate(url) {
  const { default: pg } = await import('pg');
  const client = new pg.Client(url);
  await client.connect();
  try {
    await client.query(`CREATE DATABASE ${TEMPLATE}`);
  } finally {
    await client.end();
  }
  const { migrate } = await import('../dist/platform/database/migrate.js');
  const { MIGRATIONS } = await import('../dist/migrations/migrations.js');
  const template = new URL(url);
  template.pathname = `/${TEMPLATE}`;
  await migrate({ url: template.href, rolePrefix: ROLE_PREFIX, ssl: { mode: 'disable' }, poolSize: 1, gatePoolSize: 1 }, MIGRATIONS);
}

/** @returns {Promise<{ url: string | null, stop?: () => Promise<void> }>} */
async function startRedis(folder) {
  const wish = process.env.PORTCULLIS_TEST_REDIS;
  if (wish) return { url: wish === 'off' ? null : wish };
  if (!(await onPath('redis-server'))) {
    if (process.env.CI === 'true') throw new Error('redis-server is not installed, and CI tests the real one.');
    process.stderr.write('There is no redis-server on PATH: the tests of the real Redis cannot run.\n');
    return { url: null };
  }
  const dyingWithUs = (await onPath('setpriv')) ? ['setpriv', '--pdeathsig', 'TERM'] : [];
  for (let attempt = 0; attempt < 5; attempt += 1) {
    const port = await freePort();
    const settings = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder];
    const [command, ...words] = [...dyingWithUs, 'redis-server', ...settings];
    const child = spawn(command, words, { stdio: ['ignore', 'pipe', 'inherit'] });
    const ready = await new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', () => resolve(false));
      child.stdout.on('data', (text) => String(text).includes('Ready to accept connections') && resolve(true));
    });
    if (ready) return { url: `redis://127.0.0.1:${port}`, stop: () => end(child) };
  }
  throw new Error('redis-server does not start.');
}

async function onPath(program) {
  const folders = (process.env.PATH ?? '').split(path.delimiter);
  const found = await Promise.all(folders.map((folder) => access(path.join(folder, program)).then(() => true, () => false)));
  return found.includes(true);
}

async function end(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await exited;
}

async function freePort() {
  const probe = net.createServer();
  await new Promise((resolve, reject) => probe.once('error', reject).listen(0, '127.0.0.1', resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

try {
  await main();
  process.exit(0);
} catch (error) {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
}
