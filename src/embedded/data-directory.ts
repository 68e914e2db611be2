import { createHash, randomBytes } from 'node:crypto';
import fs from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';

/** A data directory this process holds alone until `close()`, or until the process dies by whatever means. */
export interface DataDirectory {
  /** Absolute path, symbolic links resolved. */
  readonly path: string;
  close(): Promise<void>;
}

/** Why a data directory cannot be had: one sentence, fit to be shown to a person as it stands. */
export class DataDirectoryError extends Error {
  override readonly name = 'DataDirectoryError';
}

interface Answer {
  readonly pid: number;
  readonly holding: boolean;
}

const SOCKET_PREFIX = 'hold-';
/** `sockaddr_un` takes 104 bytes on macOS and 108 on Linux, terminator included. */
const LONGEST_SOCKET_PATH = 100;
const SOCKET_NAME_LENGTH = `${SOCKET_PREFIX}4194304-0123456789abcdef.new`.length;
const ELECTION_MS = 10_000;
const ANSWER_MS = 2_000;
const heldHere = new Set<string>();

/** True while this very process holds the directory (an absolute, resolved path). */
export function holdsDataDirectory(resolvedPath: string): boolean {
  return heldHere.has(resolvedPath);
}

/**
 * Creates the directory (0700) where it is missing and takes it for this process alone.
 *
 * The hold is a listening unix socket: the kernel closes it with the process, SIGKILL included, so a hold never
 * outlives its holder and a process id used again is never mistaken for one. Every starter listens under a name of
 * its own before it looks around, so of two starters at least one sees the other; names are never used twice, so
 * removing a dead one cannot remove a live one.
 *
 * @throws DataDirectoryError when another process holds the directory or it cannot be written.
 */
export async function openDataDirectory(directory: string): Promise<DataDirectory> {
  const resolved = await createWritable(path.resolve(directory));
  const folder = await socketFolder(resolved);
  const name = `${SOCKET_PREFIX}${process.pid}-${randomBytes(8).toString('hex')}`;
  let holding = false;
  const server = net.createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.end(JSON.stringify({ pid: process.pid, holding } satisfies Answer));
  });
  // An accept that fails later (no file descriptors left) costs the asker an answer, never this process its life.
  server.on('error', () => undefined);
  const release = async (): Promise<void> => {
    await fs.rm(path.join(folder, `${name}.sock`), { force: true });
    await new Promise<void>((done) => server.close(() => done()));
  };
  await listen(server, folder, name, resolved);
  try {
    await waitToBeAlone(folder, name, resolved);
  } catch (error) {
    await release();
    throw error;
  }
  holding = true;
  server.unref();
  heldHere.add(resolved);
  return {
    path: resolved,
    close: async () => {
      if (!heldHere.delete(resolved)) return;
      await release();
    },
  };
}

async function createWritable(directory: string): Promise<string> {
  try {
    await fs.mkdir(directory, { recursive: true, mode: 0o700 });
    const probe = path.join(directory, `.write-${randomBytes(8).toString('hex')}`);
    await fs.writeFile(probe, '', { flag: 'wx', mode: 0o600 });
    await fs.rm(probe);
    return await fs.realpath(directory);
  } catch (error) {
    throw new DataDirectoryError(
      `The data directory ${directory} cannot be written (${codeOf(error)}): ` +
        'give this user the right to write there or set PORTCULLIS_DATA_DIR.',
    );
  }
}

/** The directory itself where a socket's path fits; else a private folder of /tmp named by the directory's hash. */
async function socketFolder(resolved: string): Promise<string> {
  if (Buffer.byteLength(resolved) + 1 + SOCKET_NAME_LENGTH <= LONGEST_SOCKET_PATH) return resolved;
  // Not os.tmpdir(): two processes with different TMPDIR must still meet.
  const uid = process.getuid?.() ?? 0;
  const hash = createHash('sha256').update(resolved).digest('hex').slice(0, 24);
  const folder = path.join('/tmp', `portcullis-${uid}-${hash}`);
  try {
    await fs.mkdir(folder, { recursive: true, mode: 0o700 });
    const found = await fs.lstat(folder);
    if (!found.isDirectory() || found.uid !== uid) throw Object.assign(new Error(), { code: 'EPERM' });
  } catch (error) {
    throw new DataDirectoryError(
      `The data directory ${resolved} has too long a path to be locked in place and ${folder} cannot be used ` +
        `(${codeOf(error)}): set PORTCULLIS_DATA_DIR to a shorter path.`,
    );
  }
  return folder;
}

/** Listens under a passing name and renames: a socket bound but not yet listening would look dead to others. */
async function listen(server: net.Server, folder: string, name: string, resolved: string): Promise<void> {
  const passing = path.join(folder, `${name}.new`);
  try {
    await new Promise<void>((done, fail) => {
      server.once('error', fail);
      server.listen(passing, done);
    });
    await fs.rename(passing, path.join(folder, `${name}.sock`));
  } catch (error) {
    server.close();
    throw new DataDirectoryError(
      `The data directory ${resolved} lies on a file system that takes no lock (${codeOf(error)}): ` +
        'set PORTCULLIS_DATA_DIR to a local folder.',
    );
  }
}

/**
 * Returns once no other live socket is in the folder. A holder refuses everybody; of two candidates the one with
 * the greater name withdraws.
 */
async function waitToBeAlone(folder: string, name: string, resolved: string): Promise<void> {
  const own = `${name}.sock`;
  const giveUpAt = performance.now() + ELECTION_MS;
  do {
    let alone = true;
    for (const other of await socketsIn(folder)) {
      if (other === own) continue;
      const answer = await ask(path.join(folder, other));
      if (answer === 'dead') {
        await fs.rm(path.join(folder, other), { force: true });
      } else if (answer !== 'withdrawing' && (answer.holding || other < own)) {
        throw inUse(resolved, answer.pid);
      } else {
        alone = false;
      }
    }
    if (alone) return;
    await new Promise((done) => setTimeout(done, 20));
  } while (performance.now() < giveUpAt);
  throw inUse(resolved, undefined);
}

async function socketsIn(folder: string): Promise<string[]> {
  const names = await fs.readdir(folder);
  return names.filter((name) => name.startsWith(SOCKET_PREFIX) && name.endsWith('.sock'));
}

/** Asks a socket who listens. One that stays silent, or may not be asked, counts as a holder: fail closed. */
async function ask(socketPath: string): Promise<Answer | 'dead' | 'withdrawing'> {
  const assumed = { pid: Number(path.basename(socketPath).split('-')[1]), holding: true };
  return new Promise((done) => {
    let text = '';
    const socket = net.connect(socketPath);
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => (text += chunk));
    socket.setTimeout(ANSWER_MS, () => {
      done(assumed);
      socket.destroy();
    });
    socket.on('error', (error) => {
      const code = codeOf(error);
      if (code === 'ECONNREFUSED' || code === 'ENOENT') done('dead');
      else if (code !== 'ECONNRESET' && code !== 'EPIPE') done(assumed);
    });
    socket.on('close', () => {
      const match = /^\{"pid":(\d+),"holding":(true|false)\}$/.exec(text);
      done(match ? { pid: Number(match[1]), holding: match[2] === 'true' } : 'withdrawing');
    });
  });
}

function inUse(resolved: string, pid: number | undefined): DataDirectoryError {
  const who = pid === undefined ? '' : ` (pid ${pid})`;
  return new DataDirectoryError(
    `The data directory ${resolved} is in use by another Portcullis${who}. Stop it or set PORTCULLIS_DATA_DIR.`,
  );
}

function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : String(error);
}
