import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import pg from 'pg';
import { openDataDirectory } from '../../src/embedded/data-directory.js';
import { locateBinaries } from '../../src/embedded/postgres-binaries.js';
import { ensureCluster } from '../../src/embedded/postgres-cluster.js';
import { chooseLauncher, type LauncherName } from '../../src/embedded/postgres-launcher.js';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/embedded/postgres.js';

const BUILT = path.resolve('dist/embedded/postgres.js');
const ROOT = process.getuid?.() === 0;
/** Every way to start the server that this user has: root has several, and may change between them. */
const WAYS: LauncherName[] = ROOT ? ['namespace', 'capable', 'step-down'] : ['direct'];

let folder: string;
let dataDir: string;
const running = new Set<EmbeddedPostgres>();
const children = new Set<ChildProcess>();

beforeEach(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'pc-pg-'));
  await fs.chmod(folder, 0o755);
  dataDir = path.join(folder, 'data');
});

afterEach(async () => {
  for (const server of running) await server.stop();
  running.clear();
  for (const child of children) child.kill('SIGKILL');
  children.clear();
  // A server whose app was killed is still writing its last checkpoint: removing is tried again until it has ended.
  await fs.rm(folder, { recursive: true, force: true, maxRetries: 40, retryDelay: 50 });
});

async function start(options: Partial<Parameters<typeof startEmbeddedPostgres>[0]> = {}): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres({ dataDir, ...options });
  running.add(server);
  return server;
}

async function query(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client(url);
  client.on('error', () => undefined);
  await client.connect();
  try {
    const { rows } = await client.query<Record<string, unknown>>(sql);
    return rows;
  } finally {
    await client.end();
  }
}

/** An app of its own process: starts the server, prints its answer, stays. */
async function startApp(): Promise<{ app: ChildProcess; url: string }> {
  const script = `
    const { startEmbeddedPostgres } = await import(process.argv[1]);
    const { url } = await startEmbeddedPostgres({ dataDir: process.argv[2] });
    console.log(JSON.stringify({ url }));
    setInterval(() => undefined, 1000);`;
  const app = spawn(process.execPath, ['--input-type=module', '-e', script, BUILT, dataDir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.add(app);
  const line = await new Promise<string>((done, fail) => {
    readline.createInterface({ input: app.stdout }).once('line', done);
    app.once('exit', () => fail(new Error('the app ended before its server was up')));
  });
  return { app, ...(JSON.parse(line) as { url: string }) };
}

async function kill(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((done) => setTimeout(done, 10));
}

async function modeOf(...parts: string[]): Promise<number> {
  return (await fs.stat(path.join(dataDir, ...parts))).mode & 0o777;
}

describe('the embedded PostgreSQL', () => {
  it('gives an owner who may create roles but is no superuser, by password and loopback only', async () => {
    const { url, port, pid } = await start();
    const [me] = await query(
      url,
      `SELECT rolsuper, rolcreaterole, rolbypassrls, pg_get_userbyid(datdba) AS owner, current_setting('fsync') AS fsync,
              current_setting('listen_addresses') AS listen
         FROM pg_roles, pg_database WHERE rolname = current_user AND datname = current_database()`,
    );
    expect(me).toEqual({
      rolsuper: false,
      rolcreaterole: true,
      rolbypassrls: false,
      owner: 'portcullis',
      fsync: 'on',
      listen: '127.0.0.1',
    });
    const command = await fs.readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => 'unix_socket_directories=\0');
    expect(command).toContain('unix_socket_directories=\0');
    await expect(query(url.replace(/:[^:@]+@/, ':wrong@'), 'SELECT 1')).rejects.toThrow('password authentication failed');
    await expect(query(`postgresql://postgres@127.0.0.1:${port}/postgres`, 'SELECT 1')).rejects.toThrow(/password/);
    expect(await fs.readFile(path.join(dataDir, 'postgres.port'), 'utf8')).toBe(`${port}\n`);
  });

  it('keeps its passwords and its data from other users, and no password in a log', async () => {
    const { url } = await start();
    expect([await modeOf('postgres.json'), await modeOf('postgres'), await modeOf('postgres.log')]).toEqual([
      0o600, 0o700, 0o600,
    ]);
    await expect(query(url, `CREATE ROLE x PASSWORD 'very-secret' NO_SUCH_WORD`)).rejects.toThrow(/no_such_word/);
    const log = await fs.readFile(path.join(dataDir, 'postgres.log'), 'utf8');
    expect(log).not.toContain('very-secret');
    expect(log).not.toContain(new URL(url).password);
    expect((await fs.readdir(dataDir)).filter((name) => name.includes('password'))).toEqual([]);
  });

  it('keeps committed rows when the app is killed, and dies with it', async () => {
    const { app, url } = await startApp();
    await query(url, 'CREATE TABLE kept AS SELECT 42 AS value');
    await kill(app);
    await until(() => query(url, 'SELECT 1').then(() => false, (error: Error) => /ECONNREFUSED/.test(error.message)));
    const again = await start();
    expect(await query(again.url, 'SELECT value FROM kept')).toEqual([{ value: 42 }]);
  });

  it('keeps committed rows when the server itself is killed, and says that it ended', async () => {
    const ended: Error[] = [];
    const server = await start({ onExit: (error) => ended.push(error) });
    await query(server.url, 'CREATE TABLE kept AS SELECT 43 AS value');
    process.kill(server.pid, 'SIGKILL');
    await until(() => ended.length > 0);
    expect(ended[0]?.message).toMatch(/^The embedded PostgreSQL ended by itself \(SIGKILL\); last lines of /);
    await server.stop();
    const again = await start();
    expect(await query(again.url, 'SELECT value FROM kept')).toEqual([{ value: 43 }]);
  });

  it('says nothing of an end that was ordered, and frees the directory', async () => {
    const ended: Error[] = [];
    const server = await start({ onExit: (error) => ended.push(error) });
    await server.stop();
    await server.stop();
    await expect(query(server.url, 'SELECT 1')).rejects.toThrow('ECONNREFUSED');
    expect(ended).toEqual([]);
    await (await openDataDirectory(dataDir)).close();
  });

  it('refuses a data directory that another one holds, in one sentence', async () => {
    const { app } = await startApp();
    await expect(start()).rejects.toThrow(
      `The data directory ${dataDir} is in use by another Portcullis (pid ${app.pid}). Stop it or set PORTCULLIS_DATA_DIR.`,
    );
  });

  it('starts inside a hold this process took before, and leaves that hold to its taker', async () => {
    const held = await openDataDirectory(dataDir);
    const server = await start();
    await server.stop();
    await expect(openDataDirectory(dataDir)).rejects.toThrow('in use');
    await held.close();
  });

  it('runs beside another one on another data directory', async () => {
    const one = await start();
    const two = await start({ dataDir: path.join(folder, 'other') });
    await query(one.url, 'CREATE TABLE only_here ()');
    expect(await query(two.url, `SELECT to_regclass('only_here') AS found`)).toEqual([{ found: null }]);
    expect(two.port).not.toBe(one.port);
  });

  it('stops a server left running on its cluster and takes the cluster over', async () => {
    const first = await start();
    await query(first.url, 'CREATE TABLE kept AS SELECT 44 AS value');
    await first.stop();
    const cluster = path.join(dataDir, 'postgres');
    const launcher = await chooseLauncher(await locateBinaries(), dataDir);
    const words = launcher.prefix.filter((word) => !['setpriv', '--pdeathsig', 'INT'].includes(word));
    const binary = path.join(launcher.binaries, 'postgres');
    const [command = binary, ...rest] = [...words, binary, '-D', cluster, '-p', String(first.port)];
    const leftover = spawn(command, [...rest, '-c', 'unix_socket_directories='], { env: { LC_ALL: 'C' }, stdio: 'ignore' });
    children.add(leftover);
    const pidFile = path.join(cluster, 'postmaster.pid');
    while (!(await fs.readFile(pidFile, 'utf8').catch(() => '')).includes('ready')) {
      await new Promise((done) => setTimeout(done, 10));
    }
    const again = await start();
    expect([leftover.exitCode, leftover.signalCode]).toEqual([0, null]);
    expect(await query(again.url, 'SELECT value FROM kept')).toEqual([{ value: 44 }]);
  });

  it('leaves a stranger alone whose process id stands in a stale postmaster.pid', async () => {
    const first = await start();
    await first.stop();
    const stranger = spawn('sleep', ['60'], { cwd: path.join(dataDir, 'postgres'), stdio: 'ignore' });
    children.add(stranger);
    await fs.writeFile(path.join(dataDir, 'postgres', 'postmaster.pid'), `${stranger.pid}\n${dataDir}/postgres\n0\n1\n\n`);
    const again = await start();
    expect(await query(again.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    expect([stranger.exitCode, stranger.signalCode]).toEqual([null, null]);
  });

  it('starts over when its first start was cut short', async () => {
    await fs.mkdir(path.join(dataDir, 'postgres.new'), { recursive: true });
    await fs.writeFile(path.join(dataDir, 'postgres.new', 'PG_VERSION'), '18\n');
    const server = await start();
    expect(await query(server.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  it('shows the last lines of its log when it does not start', async () => {
    await (await start()).stop();
    await fs.appendFile(path.join(dataDir, 'postgres', 'postgresql.conf'), 'no_such_setting = 1\n');
    await expect(start()).rejects.toThrow(/did not start \(exit code 1\)[^]*no_such_setting/);
  });

  it(`starts and stays whole by each way this user has: ${WAYS.join(', ')}`, async () => {
    for (const [index, way] of WAYS.entries()) {
      const server = await start({ launchers: [way] });
      await query(server.url, `CREATE TABLE by_${index} ()`);
      const tables = await query(server.url, `SELECT FROM pg_tables WHERE tablename LIKE 'by%'`);
      expect(tables).toHaveLength(index + 1);
      await server.stop();
    }
  });

  it('works from a checkout in a folder closed to all others', async () => {
    const closed = path.join(folder, 'closed');
    await fs.mkdir(closed, { mode: 0o700 });
    await fs.cp(await locateBinaries(), path.join(closed, 'native'), { recursive: true, verbatimSymlinks: true });
    const inside = path.join(closed, 'data');
    await fs.mkdir(inside, { mode: 0o700 });
    for (const way of WAYS.filter((name) => name !== 'step-down')) {
      const launcher = await chooseLauncher(path.join(closed, 'native'), inside, [way]);
      await ensureCluster(inside, path.join(inside, way), launcher);
      expect(await fs.readFile(path.join(inside, way, 'PG_VERSION'), 'utf8')).toBe('18\n');
    }
    const server = await start({ dataDir: inside });
    expect(await query(server.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  it('uses copied binaries where an account stepped down to cannot reach the package', async () => {
    if (!ROOT) {
      await expect(chooseLauncher(path.join(folder, 'nothing'), folder, [])).rejects.toThrow('cannot be run');
      return;
    }
    const closed = path.join(folder, 'closed');
    await fs.mkdir(closed, { mode: 0o700 });
    await fs.cp(await locateBinaries(), path.join(closed, 'native'), { recursive: true, verbatimSymlinks: true });
    await fs.mkdir(dataDir, { mode: 0o700 });
    const launcher = await chooseLauncher(path.join(closed, 'native'), dataDir, ['step-down']);
    expect(launcher.binaries).toBe(path.join(dataDir, 'postgres-binaries', 'bin'));
    await ensureCluster(dataDir, path.join(dataDir, 'postgres'), launcher);
    const server = await start({ launchers: ['step-down'] });
    expect(await query(server.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });
});
