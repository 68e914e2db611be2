import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/embedded/postgres.js';
import { databaseConfig, type TestDatabase } from '../factories/database.js';
import { until } from '../factories/until.js';
import { FlakyProxy } from './flaky-proxy.js';

/** A durable PostgreSQL of one test file's own, which it may kill and start again at the same address. */
export class PrivatePostgres {
  private constructor(
    private readonly folder: string,
    /** Each start has a port of its own; who connects sees this one. */
    private readonly door: FlakyProxy,
    private server: EmbeddedPostgres,
  ) {}

  static async start(): Promise<PrivatePostgres> {
    const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'portcullis-postgres-'));
    await fs.chmod(folder, 0o755);
    const server = await startEmbeddedPostgres({ dataDir: path.join(folder, 'data') });
    return new PrivatePostgres(folder, await FlakyProxy.before(server.url), server);
  }

  /** Its one database, empty at first. */
  get database(): TestDatabase {
    const url = this.door.route(this.server.url);
    return { url, config: databaseConfig(url), drop: () => Promise.resolve() };
  }

  /** SIGKILL to the server: what was not committed is lost, connections end in the middle of whatever they carried. */
  async kill(): Promise<void> {
    const { pid } = this.server;
    process.kill(pid, 'SIGKILL');
    await until('it is gone', () => !exists(pid));
  }

  /** Recovers what was committed. */
  async restart(): Promise<void> {
    // Lets go of the folder; there is nothing left to stop.
    await this.server.stop();
    this.server = await startEmbeddedPostgres({ dataDir: path.join(this.folder, 'data') });
    this.door.lead(this.server.url);
  }

  async remove(): Promise<void> {
    await this.server.stop();
    await this.door.close();
    await fs.rm(this.folder, { recursive: true, force: true, maxRetries: 40, retryDelay: 50 });
  }
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
