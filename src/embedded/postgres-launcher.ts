import { execFile } from 'node:child_process';
import fs from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** How the server's binaries are started on this machine: PostgreSQL itself refuses to run as root. */
export interface Launcher {
  readonly name: LauncherName;
  /** Words before the binary; each ends in exec, so the child's process id is the server's. */
  readonly prefix: readonly string[];
  /** Folder holding initdb and postgres. */
  readonly binaries: string;
  /** Who must own the cluster's files, where that can be told beforehand. */
  readonly owner?: Account;
  /** Account node itself steps down to before it starts the prefix. */
  readonly spawnAs?: Account;
}

/**
 * - `namespace`: in a user namespace that shows this user as another, plain one; no file changes hands, and a
 *   checkout in a folder closed to all others stays within reach;
 * - `capable`: a plain account that keeps the right to pass closed folders (containers forbid namespaces);
 * - `step-down`: a plain account without that right, with copied binaries where the package is out of its reach;
 * - `direct`: not root.
 */
export type LauncherName = 'namespace' | 'capable' | 'step-down' | 'direct';

export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** A fixed environment: nothing of ours (secrets, PG* variables) reaches the server. */
export const SERVER_ENVIRONMENT: Readonly<Record<string, string>> = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LC_ALL: 'C',
  TZ: 'UTC',
};

/** The kernel's own order to stop, given when the parent dies by whatever means: SIGINT is a fast shutdown. */
const WITH_PARENT = ['setpriv', '--pdeathsig', 'INT'];
const COPIED_BINARIES = 'postgres-binaries';
const NOBODY: Account = { uid: 65534, gid: 65534 };

/**
 * Picks the first way that really runs the server's binary and writes into the data directory.
 * @param native the package's `native` folder
 * @param dataDir the held data directory, an absolute path
 * @param names the ways to try, in order; by default those that fit this process's user
 * @throws Error with one sentence when none works
 */
export async function chooseLauncher(
  native: string,
  dataDir: string,
  names: readonly LauncherName[] = isRoot() ? ['namespace', 'capable', 'step-down'] : ['direct', 'namespace'],
): Promise<Launcher> {
  const reasons: string[] = [];
  for (const name of names) {
    for (const launcher of await candidates(name, path.join(native, 'bin'))) {
      const reason = await whyNot(launcher, dataDir);
      if (reason === undefined) return launcher;
      reasons.push(`${name}: ${reason}`);
    }
  }
  if (names.includes('step-down')) {
    const launcher = await withCopiedBinaries(native, dataDir);
    const reason = await whyNot(launcher, dataDir);
    if (reason === undefined) return launcher;
    reasons.push(`copied binaries: ${reason}`);
    await fs.rm(path.join(dataDir, COPIED_BINARIES), { recursive: true, force: true });
  }
  throw new Error(
    `The embedded PostgreSQL cannot be run with its data in ${dataDir} (${reasons.join('; ')}): ` +
      'start Portcullis as a plain user, set PORTCULLIS_DATA_DIR to a folder all may pass, or set DATABASE_URL.',
  );
}

async function candidates(name: LauncherName, binaries: string): Promise<Launcher[]> {
  switch (name) {
    case 'namespace': {
      // Shown as an account the machine knows by name: initdb looks its user up.
      const shown = await serviceAccount();
      const map = [`--map-user=${shown.uid}`, `--map-group=${shown.gid}`];
      const prefix = ['unshare', '--user', ...map, '--', ...WITH_PARENT];
      return [{ name, binaries, prefix, ...(isRoot() ? { owner: { uid: 0, gid: 0 } } : {}) }];
    }
    case 'capable': {
      const owner = await serviceAccount();
      const account = [`--reuid=${owner.uid}`, `--regid=${owner.gid}`, '--clear-groups'];
      // Without the secure bit access(2), with which the server looks for its own binary, ignores the capability.
      const right = ['--inh-caps=+dac_override', '--ambient-caps=+dac_override', '--securebits=+no_setuid_fixup'];
      return [{ name, binaries, prefix: [...WITH_PARENT, ...account, ...right], owner }];
    }
    case 'step-down': {
      const owner = await serviceAccount();
      return [
        { name, binaries, prefix: WITH_PARENT, owner, spawnAs: owner },
        { name, binaries, prefix: [], owner, spawnAs: owner },
      ];
    }
    case 'direct':
      return [
        { name, binaries, prefix: WITH_PARENT },
        { name, binaries, prefix: [] },
      ];
  }
}

/**
 * Looks at the directory and has initdb find its files, its sister binary and its user as the server will, without
 * writing anything; undefined = it works.
 */
async function whyNot(launcher: Launcher, dataDir: string): Promise<string | undefined> {
  // The server's folder is given to its owner later; until then it is enough that the account may pass to it.
  const reach = launcher.spawnAs ? '-x' : '-w';
  if (launcher.spawnAs) await fs.chmod(dataDir, ((await fs.stat(dataDir)).mode & 0o777) | 0o011);
  const look = `test ${reach} "$1" || { echo "no access to $1" >&2; exit 1; }; exec "$0" --show --pgdata="$1"`;
  const initdb = path.join(launcher.binaries, 'initdb');
  const [command = 'sh', ...rest] = [...launcher.prefix, 'sh', '-c', look, initdb, dataDir];
  try {
    await run(command, rest, { cwd: '/', env: SERVER_ENVIRONMENT, timeout: 20_000, ...launcher.spawnAs });
    return undefined;
  } catch (error) {
    return reasonOf(error);
  }
}

function reasonOf(error: unknown): string {
  if (!(typeof error === 'object' && error !== null)) return String(error);
  const text = 'stderr' in error && typeof error.stderr === 'string' ? error.stderr.trim() : '';
  const code = 'code' in error ? String(error.code) : 'unknown failure';
  return text.split('\n').at(-1) || code;
}

async function withCopiedBinaries(native: string, dataDir: string): Promise<Launcher> {
  const copy = path.join(dataDir, COPIED_BINARIES);
  await fs.rm(copy, { recursive: true, force: true });
  await fs.cp(native, copy, { recursive: true, verbatimSymlinks: true });
  await fs.chmod(copy, 0o755);
  const owner = await serviceAccount();
  const base = { name: 'step-down', binaries: path.join(copy, 'bin'), owner, spawnAs: owner } as const;
  const withParent: Launcher = { ...base, prefix: WITH_PARENT };
  return (await whyNot(withParent, dataDir)) === undefined ? withParent : { ...base, prefix: [] };
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/** The machine's `postgres` account, else `nobody`. */
async function serviceAccount(): Promise<Account> {
  const lines = (await fs.readFile('/etc/passwd', 'utf8').catch(() => '')).split('\n');
  for (const name of ['postgres', 'nobody']) {
    const [, , uid, gid] = lines.find((line) => line.startsWith(`${name}:`))?.split(':') ?? [];
    if (Number(uid) > 0 && Number(gid) > 0) return { uid: Number(uid), gid: Number(gid) };
  }
  return NOBODY;
}
