import { execFile } from 'node:child_process';
import fs from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const FAST_SHUTDOWN_MS = 30_000;
const IMMEDIATE_SHUTDOWN_MS = 10_000;

/**
 * Stops what an earlier, killed Portcullis left running on this cluster, and waits until it is gone. To be called
 * only while the data directory is held.
 *
 * Only one process is ever signalled: the one named in postmaster.pid, and only while it is a postgres whose working
 * directory is this very cluster. Looking through /proc serves for waiting alone, so that no mistake in recognising a
 * server can reach another program: backends that outlive their postmaster end by themselves.
 *
 * A number in postmaster.pid that now belongs to something else is left alone, and its stale file removed, as the
 * server would otherwise refuse to start.
 *
 * @throws Error when a leftover server does not stop.
 */
export async function stopLeftover(cluster: string): Promise<void> {
  const postmaster = await recordedPid(cluster);
  for (const [order, waitMs] of [['SIGINT', FAST_SHUTDOWN_MS], ['SIGQUIT', IMMEDIATE_SHUTDOWN_MS]] as const) {
    if (postmaster !== undefined && (await isServerOf(postmaster, cluster))) signal(postmaster, order);
    if (await allGone(cluster, postmaster, waitMs)) {
      if (postmaster !== undefined && signal(postmaster, 0)) {
        await fs.rm(path.join(cluster, 'postmaster.pid'), { force: true });
      }
      return;
    }
  }
  const left = (await serversOf(cluster, postmaster)).join(', ');
  throw new Error(`An earlier embedded PostgreSQL on ${cluster} does not stop (process ${left}): stop it by hand.`);
}

/** First line of postmaster.pid, if there is such a file. */
async function recordedPid(cluster: string): Promise<number | undefined> {
  const text = await fs.readFile(path.join(cluster, 'postmaster.pid'), 'utf8').catch(() => '');
  const pid = Number(text.split('\n')[0]);
  return Number.isSafeInteger(pid) && pid > 1 ? pid : undefined;
}

async function isServerOf(pid: number, cluster: string): Promise<boolean> {
  if (process.platform === 'linux') {
    try {
      const [cwd, name] = await Promise.all([fs.readlink(`/proc/${pid}/cwd`), fs.readFile(`/proc/${pid}/comm`, 'utf8')]);
      return cwd === cluster && name.trim() === 'postgres';
    } catch {
      return false;
    }
  }
  const { stdout } = await run('ps', ['-o', 'command=', '-p', String(pid)]).catch(() => ({ stdout: '' }));
  return stdout.includes('postgres') && stdout.includes(cluster);
}

/** The postmaster and, where /proc tells, backends that outlived it: they still hold its shared memory. */
async function serversOf(cluster: string, recorded: number | undefined): Promise<number[]> {
  const known = recorded === undefined ? [] : [recorded];
  const pids = process.platform === 'linux' ? (await fs.readdir('/proc')).map(Number).filter((pid) => pid > 1) : known;
  const ours = await Promise.all(pids.map((pid) => isServerOf(pid, cluster)));
  return pids.filter((_, index) => ours[index]);
}

async function allGone(cluster: string, recorded: number | undefined, timeoutMs: number): Promise<boolean> {
  const giveUpAt = performance.now() + timeoutMs;
  while ((await serversOf(cluster, recorded)).length > 0) {
    if (performance.now() > giveUpAt) return false;
    await new Promise((done) => setTimeout(done, 25));
  }
  return true;
}

function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}
