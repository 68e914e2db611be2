import { Inject, Injectable } from '@nestjs/common';
import { CONFIG, type Config } from '../config/config.js';
import { Pools } from '../database/pools.js';
import { KeyValueStore } from '../redis/key-value.js';

export interface Readiness {
  readonly ready: boolean;
  readonly checks: Readonly<Record<string, 'ok' | 'failed' | 'embedded'>>;
}

const CHECK_TIMEOUT_MS = 2_000;

/** Whether the process should be given traffic. Without Postgres it can only live on caches, so it is not ready. */
@Injectable()
export class Health {
  private readonly further = new Map<string, () => Promise<boolean>>();

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly pools: Pools,
    private readonly store: KeyValueStore,
  ) {}

  /** Adds a check of a room, the broker's for one. */
  register(name: string, check: () => Promise<boolean>): void {
    this.further.set(name, check);
  }

  async readiness(): Promise<Readiness> {
    const checks: [string, Promise<boolean>][] = [
      ['postgres', this.pools.gate.query('SELECT 1').then(() => true)],
      ['store', this.store.ping()],
      ...[...this.further].map(([name, check]): [string, Promise<boolean>] => [name, check()]),
    ];
    const results = await Promise.all(checks.map(async ([name, check]) => [name, await bounded(check)] as const));
    return {
      ready: results.every(([, good]) => good),
      checks: Object.fromEntries(results.map(([name, good]) => [
        name,
        good && name === 'store' && this.config.redis.url === undefined ? 'embedded' : good ? 'ok' : 'failed',
      ])),
    };
  }
}

async function bounded(check: Promise<boolean>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), CHECK_TIMEOUT_MS);
  });
  try {
    return await Promise.race([check.catch(() => false), timeout]);
  } finally {
    clearTimeout(timer);
  }
}
