import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import pg from 'pg';
import { type DataDirectory, holdsDataDirectory, openDataDirectory } from './data-directory.js';
import { locateBinaries } from './postgres-binaries.js';
import { type ClusterPasswords, ensureCluster, lastLines, SUPERUSER } from './postgres-cluster.js';
import { chooseLauncher, type Launcher, type LauncherName, SERVER_ENVIRONMENT } from './postgres-launcher.js';
import { stopLeftover } from './postgres-leftover.js';

export interface EmbeddedPostgresOptions {
  /** Where it keeps everything; held for the server's life unless this process holds it already. */
  readonly dataDir: string;
  readonly logger?: { log(message: string): void };
  /** Called once if the server ends without `stop()` having been called. */
  readonly onExit?: (error: Error) => void;
  /** For tests only: no durability, more connections, and an owner that may create databases. */
  readonly fast?: boolean;
  /** Ways to start the server, in order of trial; chosen by the machine when absent. */
  readonly launchers?: readonly LauncherName[];
}

export interface EmbeddedPostgres {
  /** Connection URL of the owner: no superuser, but may create roles. */
  readonly url: string;
  readonly port: number;
  /** Process id of the server. */
  readonly pid: number;
  /** Fast shutdown: open transactions are rolled back, connections closed. */
  stop(): Promise<void>;
}

const OWNER = 'portcullis';
const DATABASE = 'portcullis';
const START_MS = 120_000;
const PORT_ATTEMPTS = 5;
const LOG_LIMIT_BYTES = 5_000_000;

/** Given on the command line, so that a change here reaches clusters made long ago. */
const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  password_encryption: 'scram-sha-256',
  shared_buffers: '64MB',
  max_connections: '100',
  max_wal_size: '256MB',
  timezone: 'UTC',
  log_timezone: 'UTC',
  jit: 'off',
  io_method: 'sync',
  // Containers often have 64 MB of /dev/shm, which parallel plans would fill.
  max_parallel_workers_per_gather: '0',
  // A failing statement may carry a password or a fact about a device: the log never quotes one.
  log_min_error_statement: 'panic',
  log_checkpoints: 'off',
  log_line_prefix: '%m [%p] ',
} as const;

const FAST_SETTINGS = {
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  max_connections: '300',
  shared_buffers: '128MB',
} as const;

/**
 * Starts a real PostgreSQL on a loopback port chosen anew each time, creating its cluster, its owner role and its
 * database where they are missing. It dies with this process; what was committed survives any kill.
 *
 * @throws DataDirectoryError when the directory is in use or cannot be written; Error with the server's last log
 *   lines when it does not start.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const held = await hold(options.dataDir);
  try {
    const dataDir = held.path;
    const cluster = path.join(dataDir, 'postgres');
    const launcher = await chooseLauncher(await locateBinaries(), dataDir, options.launchers);
    await stopLeftover(cluster);
    const passwords = await ensureCluster(dataDir, cluster, launcher);
    const server = await startServer(dataDir, cluster, launcher, passwords, options);
    try {
      await ensureDatabase(server.port, passwords, options.fast ?? false);
    } catch (error) {
      await server.stop();
      throw error;
    }
    options.logger?.log(`Embedded PostgreSQL listens on 127.0.0.1:${server.port}, data in ${cluster}`);
    return {
      url: `postgresql://${OWNER}:${passwords.owner}@127.0.0.1:${server.port}/${DATABASE}`,
      port: server.port,
      pid: server.pid,
      stop: async () => {
        await server.stop();
        await held.close();
      },
    };
  } catch (error) {
    await held.close();
    throw error;
  }
}

/** Takes the directory, or joins the hold this process has on it. */
async function hold(dataDir: string): Promise<DataDirectory> {
  const resolved = await fs.realpath(dataDir).catch(() => path.resolve(dataDir));
  if (holdsDataDirectory(resolved)) return { path: resolved, close: () => Promise.resolve() };
  return openDataDirectory(dataDir);
}

interface RunningServer {
  readonly port: number;
  readonly pid: number;
  stop(): Promise<void>;
}

async function startServer(
  dataDir: string,
  cluster: string,
  launcher: Launcher,
  passwords: ClusterPasswords,
  options: EmbeddedPostgresOptions,
): Promise<RunningServer> {
  const logFile = path.join(dataDir, 'postgres.log');
  const binary = path.join(launcher.binaries, 'postgres');
  const settings = { ...SETTINGS, ...(options.fast ? FAST_SETTINGS : {}) };
  const words = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  for (let attempt = 1; ; attempt += 1) {
    const log = await openLog(logFile);
    const port = await freePort();
    const [command = binary, ...rest] = [...launcher.prefix, binary, '-D', cluster, '-p', String(port), ...words];
    const child = spawn(command, rest, {
      cwd: '/',
      env: SERVER_ENVIRONMENT,
      stdio: ['ignore', log.handle.fd, log.handle.fd],
      // A session of its own: Ctrl-C in the terminal must reach the app alone, which stops the server last.
      detached: true,
      ...launcher.spawnAs,
    });
    const exited = exitOf(child);
    await log.handle.close();
    const outcome = await Promise.race([exited, untilReady(port, cluster, passwords, exited)]);
    if (outcome === 'ready' && child.pid !== undefined) {
      await fs.writeFile(path.join(dataDir, 'postgres.port'), `${port}\n`, { mode: 0o600 });
      return supervise({ child, exited, port, pid: child.pid, logFile, logStart: log.start, onExit: options.onExit });
    }
    await stopChild(child, exited);
    const lines = await linesSince(logFile, log.start);
    // Between our choosing the port and the server's taking it, another program may have come.
    if (attempt < PORT_ATTEMPTS && /could not bind|Address already in use/.test(lines)) continue;
    throw new Error(`The embedded PostgreSQL did not start (${outcome}); last lines of ${logFile}:\n${lines}`);
  }
}

interface Supervised {
  readonly child: ChildProcess;
  readonly exited: Promise<string>;
  readonly port: number;
  readonly pid: number;
  readonly logFile: string;
  readonly logStart: number;
  readonly onExit: ((error: Error) => void) | undefined;
}

function supervise({ child, exited, port, pid, logFile, logStart, onExit }: Supervised): RunningServer {
  let stopping = false;
  // Servers of the app keep the process alive, not this child: a short command may end without stop().
  child.unref();
  void exited.then(async (how) => {
    if (stopping) return;
    const lines = await linesSince(logFile, logStart);
    onExit?.(new Error(`The embedded PostgreSQL ended by itself (${how}); last lines of ${logFile}:\n${lines}`));
  });
  return {
    port,
    pid,
    stop: async () => {
      stopping = true;
      await stopChild(child, exited);
    },
  };
}

/** Resolves, never rejects, with how the process ended; also when it could not be started at all. */
function exitOf(child: ChildProcess): Promise<string> {
  return new Promise((done) => {
    child.once('error', (error) => done(error.message));
    child.once('exit', (code, signal) => done(signal ?? `exit code ${code}`));
  });
}

/** SIGINT (fast), then SIGQUIT (immediate), then SIGKILL; the cluster recovers from any of them. */
async function stopChild(child: ChildProcess, exited: Promise<string>): Promise<void> {
  child.ref();
  for (const [signal, waitMs] of [['SIGINT', 20_000], ['SIGQUIT', 5_000], ['SIGKILL', 5_000]] as const) {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
    child.kill(signal);
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([exited, new Promise((done) => (timer = setTimeout(done, waitMs)))]);
    clearTimeout(timer);
  }
}

/** Connects until the server answers; a server that is recovering from a kill says so and is waited for. */
async function untilReady(
  port: number,
  cluster: string,
  passwords: ClusterPasswords,
  exited: Promise<string>,
): Promise<string> {
  let ended = false;
  void exited.then(() => (ended = true));
  const giveUpAt = performance.now() + START_MS;
  let last = 'no answer';
  while (!ended && performance.now() < giveUpAt) {
    try {
      const { rows } = await asSuperuser(port, passwords, (client) =>
        client.query<{ data_directory: string }>('SHOW data_directory'),
      );
      if (rows[0]?.data_directory === cluster) return 'ready';
      return 'another server answers on its port';
    } catch (error) {
      const code = error instanceof pg.DatabaseError ? error.code : undefined;
      last = String(error);
      if (code === '28P01' || code === '28000') break;
      await new Promise((done) => setTimeout(done, 20));
    }
  }
  return last;
}

/** Idempotent, so a start that was killed half-way is completed by the next. */
async function ensureDatabase(port: number, passwords: ClusterPasswords, fast: boolean): Promise<void> {
  await asSuperuser(port, passwords, async (client) => {
    const roles = await client.query('SELECT 1 FROM pg_roles WHERE rolname = $1', [OWNER]);
    if (roles.rowCount === 0) {
      const password = client.escapeLiteral(passwords.owner);
      await client.query(`CREATE ROLE ${OWNER} LOGIN NOSUPERUSER CREATEROLE PASSWORD ${password}`);
    }
    if (fast) {
      await client.query(`ALTER ROLE ${OWNER} CREATEDB`);
      await client.query(`GRANT pg_signal_backend TO ${OWNER}`);
    }
    const databases = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [DATABASE]);
    if (databases.rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE} OWNER ${OWNER}`);
  });
}

async function asSuperuser<T>(port: number, passwords: ClusterPasswords, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({
    host: '127.0.0.1',
    port,
    user: SUPERUSER,
    password: passwords.superuser,
    database: 'postgres',
    ssl: false,
    connectionTimeoutMillis: 5_000,
  });
  // A server that stops under the connection reports here; the query's own rejection is what counts.
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function freePort(): Promise<number> {
  const probe = net.createServer();
  await new Promise<void>((done, fail) => {
    probe.once('error', fail);
    probe.listen(0, '127.0.0.1', done);
  });
  const address = probe.address();
  await new Promise((done) => probe.close(done));
  if (address === null || typeof address === 'string') throw new Error('The system gave no free port.');
  return address.port;
}

async function openLog(file: string): Promise<{ handle: fs.FileHandle; start: number }> {
  const size = await fs.stat(file).then((found) => found.size, () => 0);
  if (size > LOG_LIMIT_BYTES) await fs.rename(file, `${file}.1`);
  const handle = await fs.open(file, 'a', 0o600);
  return { handle, start: (await handle.stat()).size };
}

async function linesSince(file: string, start: number): Promise<string> {
  const content = await fs.readFile(file).catch(() => Buffer.alloc(0));
  return lastLines(content.subarray(start).toString('utf8'));
}
