import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import fs from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { until } from '../factories/until.js';
import { ROOT } from './installation.js';

export const MOSQUITTO = ['/usr/sbin/mosquitto', '/usr/local/sbin/mosquitto', '/opt/homebrew/sbin/mosquitto'].find((file) => existsSync(file));

/** A broker in a process of its own, so that it outlives whoever uses it. */
export class BrokerProcess {
  private constructor(
    readonly port: number,
    private readonly child: ChildProcess,
    private readonly folder: string,
  ) {}

  /** Mosquitto: MQTT 5, shared subscriptions, and everybody may do everything. */
  static mosquitto(port: number): Promise<BrokerProcess> {
    return BrokerProcess.start(port, async (folder) => {
      const file = path.join(folder, 'mosquitto.conf');
      await fs.writeFile(file, `listener ${port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 100000\n`);
      return spawn(MOSQUITTO ?? 'mosquitto', ['-c', file], { stdio: 'ignore' });
    });
  }

  /** `portcullis broker`, told no more than it needs: where the application's callbacks are, and the secret that they ask for. */
  static embedded(port: number, internalPort: number, secret: string): Promise<BrokerProcess> {
    return BrokerProcess.start(port, async (folder) => spawn(process.execPath, [path.join(ROOT, 'dist', 'cli.js'), 'broker'], {
      stdio: 'ignore',
      env: {
        PATH: process.env['PATH'] ?? '',
        PORTCULLIS_DATA_DIR: folder,
        MQTT_PORT: String(port),
        INTERNAL_PORT: String(internalPort),
        MQTT_INTERNAL_AUTH_SECRET: secret,
      },
    }));
  }

  private static async start(port: number, launch: (folder: string) => Promise<ChildProcess>): Promise<BrokerProcess> {
    const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'portcullis-broker-'));
    const broker = new BrokerProcess(port, await launch(folder), folder);
    await until('the start of the broker', () => isOpen(port));
    return broker;
  }

  async remove(): Promise<void> {
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    if (this.child.exitCode === null && this.child.signalCode === null) {
      this.child.kill('SIGKILL');
      await ended;
    }
    await fs.rm(this.folder, { recursive: true, force: true });
  }
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
