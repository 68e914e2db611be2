import fs from 'node:fs/promises';
import path from 'node:path';

const GIVE_UP_MS = 15 * 60_000;

/**
 * Runs `work` while no other process is inside the same folder's lock; waits for its turn.
 *
 * Each contender leaves a file named for itself and goes on only if no other living one is there; else it takes its
 * own away and tries again. Files of the dead are removed: a name holds process id and start time, so it is never
 * used twice and an id taken by another program does not count as alive.
 */
export async function withLock(folder, work) {
  await fs.mkdir(folder, { recursive: true });
  const own = `${process.pid}-${await startTime(process.pid)}`;
  const giveUpAt = Date.now() + GIVE_UP_MS;
  let told = false;
  for (;;) {
    await fs.writeFile(path.join(folder, own), '');
    const [other] = await livingOthers(folder, own);
    if (other === undefined) break;
    await fs.rm(path.join(folder, own), { force: true });
    if (Date.now() > giveUpAt) throw new Error(`Process ${other} has been preparing this folder for too long.`);
    if (!told) process.stderr.write(`Waiting for process ${other} to finish preparing this folder…\n`);
    told = true;
    await new Promise((resolve) => setTimeout(resolve, 50 + Math.random() * 200));
  }
  try {
    return await work();
  } finally {
    await fs.rm(path.join(folder, own), { force: true });
  }
}

async function livingOthers(folder, own) {
  const living = [];
  for (const name of await fs.readdir(folder)) {
    if (name === own) continue;
    const [pid, started] = name.split('-');
    if ((await startTime(Number(pid))) === started) living.push(pid);
    else await fs.rm(path.join(folder, name), { force: true });
  }
  return living;
}

/** Clock ticks from boot to the process's start on Linux; elsewhere a word for "it lives"; undefined = no such process. */
async function startTime(pid) {
  if (process.platform === 'linux') {
    const stat = await fs.readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
    // The second field, the program's name, may hold blanks and brackets: count from its end.
    return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  }
  try {
    process.kill(pid, 0);
    return 'alive';
  } catch (error) {
    return error.code === 'EPERM' ? 'alive' : undefined;
  }
}
