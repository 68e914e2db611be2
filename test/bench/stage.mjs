/** Where a benchmark is played: a folder, a Postgres and child processes that end with it, however it ends. */
import fs from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { Child } from './child.mjs';

const PORTS = ['PORT', 'INTERNAL_PORT', 'MQTT_PORT', 'MQTTS_PORT', 'MQTTS_TOKEN_PORT'];

export class Stage {
  #stops = [];

  constructor(folder) {
    this.folder = folder;
  }

  /** What is there ends in the reverse order of its coming. */
  onStop(step) {
    this.#stops.push(step);
  }

  child(file, options) {
    const started = new Child(file, options);
    this.onStop(() => started.stop());
    return started;
  }

  /** With its usual durability; it runs with this process, on its core. */
  async postgres() {
    const { startEmbeddedPostgres } = await import('../../dist/embedded/postgres.js');
    const postgres = await startEmbeddedPostgres({ dataDir: path.join(this.folder, 'database'), fast: false });
    this.onStop(() => postgres.stop());
    return postgres;
  }

  /** Variables of an application on ports of its own. */
  async environment({ url }) {
    const ports = await freePorts(PORTS.length);
    return {
      PORTCULLIS_DATA_DIR: path.join(this.folder, 'data'),
      DATABASE_URL: url,
      ...Object.fromEntries(PORTS.map((name, index) => [name, String(ports[index])])),
    };
  }

  async stop() {
    for (const step of this.#stops.splice(0).reverse()) {
      try {
        await step();
      } catch (error) {
        process.stderr.write(`${error.message}\n`);
      }
    }
    await fs.rm(this.folder, { recursive: true, force: true });
  }
}

/**
 * Plays `work`, and clears the stage after it, when it takes longer than `limitMs`, and at Ctrl-C. A failure sets the exit code.
 * @param explain what else to say of a failure
 */
export async function onStage(limitMs, work, explain = async () => '') {
  const stage = new Stage(await fs.mkdtemp(path.join(os.tmpdir(), 'portcullis-bench-')));
  const timer = setTimeout(() => {
    process.stderr.write('The benchmark took too long and was stopped.\n');
    void stage.stop().finally(() => process.exit(1));
  }, limitMs);
  process.once('SIGINT', () => void stage.stop().finally(() => process.exit(130)));
  try {
    await work(stage);
  } catch (error) {
    process.stderr.write(`${error.stack}\n${await explain()}`);
    process.exitCode = 1;
  } finally {
    await stage.stop();
    clearTimeout(timer);
  }
}

export async function freePorts(count) {
  const servers = await Promise.all(Array.from({ length: count }, () => new Promise((resolve, reject) => {
    const server = net.createServer().once('error', reject).listen(0, '127.0.0.1', () => resolve(server));
  })));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
