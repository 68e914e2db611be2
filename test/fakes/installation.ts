import { spawn, type ChildProcess } from 'node:child_process';
import net from 'node:net';
import path from 'node:path';

export const ROOT = path.resolve(__dirname, '..', '..');

/** Starting may have to build first. */
const START_LIMIT_MS = 120_000;

export interface Ports {
  readonly rest: number;
  readonly internal: number;
  readonly mqtt: number;
}

/** What became of a start that failed. */
export interface Failed {
  readonly code: number | null;
  /** What was said on standard error, without the word of a build. */
  readonly said: string;
}

/** An installation as a person starts it: `npm start` in a process of its own, with the environment that it is given. */
export class Installation {
  private readonly ended: Promise<number | null>;
  output = '';
  private errors = '';

  /** @param up what it prints when everything is up */
  private constructor(
    private readonly child: ChildProcess,
    private readonly up: RegExp,
  ) {
    child.stdout?.on('data', (chunk) => (this.output += String(chunk)));
    child.stderr?.on('data', (chunk) => (this.errors += String(chunk)));
    this.ended = new Promise((resolve) => child.once('close', (code) => resolve(code)));
  }

  /** Resolves when it is up; rejects with what it said when it ends before. */
  static async start(dataDir: string, ports: Ports, env: Record<string, string> = {}): Promise<Installation> {
    const installation = Installation.launch(dataDir, ports, env);
    const failed = await Promise.race([installation.isUp(), installation.ended.then(() => installation.failure())]);
    if (failed) throw new Error(`it did not start (exit ${failed.code}): ${failed.said}`);
    return installation;
  }

  /** Resolves with the failure that is expected; rejects, and ends it, if it starts after all. */
  static async startInVain(dataDir: string, ports: Ports): Promise<Failed> {
    const installation = Installation.launch(dataDir, ports, {});
    const failed = await Promise.race([installation.isUp(), installation.ended.then(() => installation.failure())]);
    if (failed) return failed;
    await installation.kill();
    throw new Error('it started');
  }

  /** SIGTERM; answers the exit code. */
  async stop(): Promise<number | null> {
    this.child.kill('SIGTERM');
    return this.ended;
  }

  /** SIGKILL: nothing is told, nothing is tidied up. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }

  private static launch(dataDir: string, ports: Ports, env: Record<string, string>): Installation {
    const child = spawn(process.execPath, [path.join('scripts', 'start.mjs')], {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env['PATH'] ?? '',
        HOME: process.env['HOME'] ?? '',
        PORTCULLIS_DATA_DIR: dataDir,
        PORT: String(ports.rest),
        INTERNAL_PORT: String(ports.internal),
        MQTT_PORT: String(ports.mqtt),
        ...env,
      },
    });
    // The end of development's banner, or the line that production logs.
    return new Installation(child, env['NODE_ENV'] === 'production' ? /"msg":"Portcullis is up"/ : /^Try:$/m);
  }

  private async isUp(): Promise<null> {
    await new Promise<void>((resolve, reject) => {
      const tooLong = (): void => reject(new Error(`it is neither up nor down: ${this.output}${this.errors}`));
      const limit = setTimeout(tooLong, START_LIMIT_MS);
      limit.unref();
      const look = (): void => {
        if (!this.up.test(this.output)) return;
        clearTimeout(limit);
        resolve();
      };
      this.child.stdout?.on('data', look);
      this.child.once('close', () => clearTimeout(limit));
    });
    return null;
  }

  private async failure(): Promise<Failed> {
    const lines = this.errors.split('\n').filter((line) => line.trim() !== '');
    const said = lines.filter((line) => !/^(Building…|Waiting for process )/.test(line));
    return { code: await this.ended, said: said.join('\n') };
  }
}

/** Three ports that were free a moment ago. */
export async function freePorts(): Promise<Ports> {
  const servers = await Promise.all([0, 1, 2].map(() => new Promise<net.Server>((resolve, reject) => {
    const server = net.createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve(server));
  })));
  const [rest = 0, internal = 0, mqtt = 0] = servers.map((server) => (server.address() as net.AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return { rest, internal, mqtt };
}
