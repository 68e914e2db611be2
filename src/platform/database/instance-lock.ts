import pg from 'pg';
import type { Config } from '../config/config.js';
import { logger } from '../telemetry/logger.js';
import { connectionFor } from './connection.js';

/** Any two instances on one database meet at this advisory lock. */
const INSTANCE_LOCK = 0x70636c69;
const RETRY_MS = 5_000;

/**
 * Keeps instances apart that cannot share what they must share: without Redis an instance wants the database for itself; with Redis
 * it shares it with others that have Redis, but not with one that has none.
 */
export class InstanceLock {
  private client: pg.Client | undefined;
  private timer: NodeJS.Timeout | undefined;
  private released = false;

  private constructor(
    private readonly database: Config['database'],
    private readonly shared: boolean,
  ) {}

  /** @throws with one sentence when another instance stands in the way. */
  static async take(database: Config['database'], shared: boolean): Promise<InstanceLock> {
    const lock = new InstanceLock(database, shared);
    if (!(await lock.acquire())) {
      throw new Error(
        'Another Portcullis works on this database, and at least one of the two has no REDIS_URL: '
          + 'give both the same REDIS_URL, or stop the other one.',
      );
    }
    return lock;
  }

  async release(): Promise<void> {
    this.released = true;
    clearTimeout(this.timer);
    const { client } = this;
    this.client = undefined;
    await client?.end().catch(() => undefined);
  }

  private async acquire(): Promise<boolean> {
    const client = new pg.Client({ ...connectionFor(this.database, 'app'), keepAlive: true });
    client.on('error', (error) => this.lost(client, error));
    await client.connect();
    const { rows } = await client.query<{ taken: boolean }>(
      `SELECT ${this.shared ? 'pg_try_advisory_lock_shared' : 'pg_try_advisory_lock'}($1) AS taken`,
      [INSTANCE_LOCK],
    );
    if (rows[0]?.taken !== true) {
      await client.end();
      return false;
    }
    this.client = client;
    client.on('end', () => this.lost(client, new Error('the connection ended')));
    return true;
  }

  /** A restart of Postgres frees the lock; it is taken again as soon as Postgres is back. */
  private lost(client: pg.Client, error: Error): void {
    if (this.released || this.client !== client) return;
    this.client = undefined;
    logger.warn({ err: error.message }, 'the lock of this instance was lost; taking it again');
    this.retry();
  }

  private retry(): void {
    this.timer = setTimeout(() => {
      this.acquire().then(
        (taken) => {
          if (taken || this.released) return;
          logger.error('another instance without a shared Redis took the database meanwhile');
          this.retry();
        },
        () => this.retry(),
      );
    }, RETRY_MS);
    this.timer.unref();
  }
}
