/** Processes of the benchmark: the parent calls, the child answers, over Node's IPC channel. */
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import inspector from 'node:inspector/promises';
import { fileURLToPath } from 'node:url';

const CALL_LIMIT_MS = 60_000;
/** Fine enough for calls of a few microseconds. */
const PROFILE_INTERVAL_US = 100;

/** The processor cores that this process may use; empty where the machine does not tell, or cannot pin. */
export function usableCores() {
  if (process.platform !== 'linux' || spawnSync('taskset', ['--version']).status !== 0) return [];
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '';
  return list.split(',').flatMap((part) => {
    const [from, to = from] = part.split('-').map(Number);
    return Array.from({ length: to - from + 1 }, (_, index) => from + index);
  });
}

/** Keeps this process, and what it starts from now on, to one core. */
export function pinThisProcess(core) {
  spawnSync('taskset', ['-apc', String(core), String(process.pid)]);
}

/** Whether the kernel lets a process of ours go before all others; often root alone may. */
export function mayGoFirst() {
  return spawnSync('chrt', ['-r', '1', 'true']).status === 0;
}

/** A child process that runs one file of this folder, on one core if told. With `first` it goes before whatever else is on that core. */
export class Child {
  #process;
  #waiting = new Map();
  #next = 1;
  #gone;

  constructor(file, { core, first = false, env = {} } = {}) {
    // V8's main thread would wait, turning, for helpers that may never go while it turns.
    const command = [process.execPath, ...(first ? ['--single-threaded-gc'] : []), '--enable-source-maps', fileURLToPath(new URL(file, import.meta.url))];
    if (core !== undefined) command.unshift('taskset', '-c', String(core));
    if (first) command.unshift('chrt', '-r', '1');
    const [program, ...words] = command;
    this.#process = spawn(program, words, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], env: { ...process.env, ...env } });
    this.#process.on('message', ({ id, result, error }) => {
      const call = this.#waiting.get(id);
      if (error === undefined) call?.resolve(result);
      else call?.reject(new Error(`${file}: ${error}`));
    });
    this.ended = new Promise((resolve) => {
      this.#process.once('error', resolve);
      this.#process.once('exit', resolve);
    });
    this.#gone = this.ended.then((why) => {
      throw new Error(`${file} ended: ${why?.message ?? why}`);
    });
    // Looked at by those who wait for an answer; nobody may.
    this.#gone.catch(() => undefined);
  }

  /** Calls a function that the child serves; rejects when the child has ended, and after a minute. */
  async call(name, argument) {
    const id = this.#next++;
    const answered = new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    const timer = setTimeout(() => this.#waiting.get(id)?.reject(new Error(`${name} took too long`)), CALL_LIMIT_MS);
    if (this.#process.connected) this.#process.send({ id, name, argument });
    try {
      return await Promise.race([answered, this.#gone]);
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
    }
  }

  /** Asks the child to leave, and ends it if it does not. */
  async stop() {
    if (this.#process.connected) this.#process.disconnect();
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), 10_000);
    await this.ended;
    clearTimeout(timer);
  }
}

/** In a child: answers the parent's calls; `leave` runs when the parent is done or gone. */
export function serve(functions, leave = () => undefined) {
  const all = { cpu: () => cpuMicroseconds(), startProfile, stopProfile, ...functions };
  process.on('message', ({ id, name, argument }) => {
    Promise.resolve()
      .then(() => all[name](argument))
      .then(
        (result) => process.send({ id, result }),
        (error) => process.send({ id, error: error?.stack ?? String(error) }),
      );
  });
  process.on('disconnect', () => {
    setTimeout(() => process.exit(1), 8_000).unref();
    Promise.resolve().then(leave).then(() => process.exit(0), () => process.exit(1));
  });
}

/** CPU time of this process since its start, all its threads. */
function cpuMicroseconds() {
  const { user, system } = process.cpuUsage();
  return user + system;
}

let session;

async function startProfile() {
  session = new inspector.Session();
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.setSamplingInterval', { interval: PROFILE_INTERVAL_US });
  await session.post('Profiler.start');
}

async function stopProfile({ file }) {
  const { profile } = await session.post('Profiler.stop');
  session.disconnect();
  writeFileSync(file, JSON.stringify(profile));
}
