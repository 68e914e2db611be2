import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { Redis } from 'ioredis';

/** A redis-server of one test file's own, which it may kill, fill and start again at the same address. */
export class PrivateRedis {
  private child: ChildProcess | undefined;

  private constructor(readonly port: number) {}

  static async start(): Promise<PrivateRedis> {
    const redis = new PrivateRedis(await freePort());
    await redis.restart();
    return redis;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** SIGKILL: what it held is lost. */
  async kill(): Promise<void> {
    const { child } = this;
    this.child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  async restart(): Promise<void> {
    const words = ['--port', String(this.port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', '/tmp'];
    const child = spawn('redis-server', words, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.child = child;
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`redis-server ended with ${code}`)));
      child.stdout.on('data', (text) => String(text).includes('Ready to accept connections') && resolve());
    });
  }

  /** From here on nothing may be added, until `empty`. */
  async fill(): Promise<void> {
    await this.command((redis) => redis.config('SET', 'maxmemory', '1'));
  }

  async empty(): Promise<void> {
    await this.command((redis) => redis.config('SET', 'maxmemory', '0'));
  }

  /** Ends every subscription; whoever can comes back at once. */
  async cutSubscriptions(): Promise<void> {
    await this.command((redis) => redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub'));
  }

  private async command(work: (redis: Redis) => Promise<unknown>): Promise<void> {
    const redis = new Redis(this.url);
    try {
      await work(redis);
    } finally {
      redis.disconnect();
    }
  }
}

async function freePort(): Promise<number> {
  const probe = net.createServer();
  await new Promise<void>((resolve, reject) => probe.once('error', reject).listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as net.AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
