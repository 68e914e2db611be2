import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import pg from 'pg';
import { CONFIG, type Config } from '../config/config.js';
import { logger } from '../telemetry/logger.js';
import { connectionFor } from './connection.js';
import type { RoleNames } from './roles.js';

/** The gate must answer the broker within its 5 s, with room for a retry on stale facts: a slow store is a lost store. */
const GATE_TIMEOUT_MS = 1_500;
const APP_TIMEOUT_MS = 15_000;
const CONNECT_TIMEOUT_MS = 3_000;
const READER_CONNECTIONS = 6;

/**
 * Plain `pg` pools, one a role. The gate's is small and its own, so that REST load cannot starve the broker's answers.
 * TypeORM holds the REST pool itself (`Transactions`); `app` here is for batches without entities.
 */
@Injectable()
export class Pools implements OnApplicationShutdown {
  readonly app: pg.Pool;
  readonly gate: pg.Pool;
  readonly reader: pg.Pool;

  constructor(@Inject(CONFIG) config: Config) {
    this.app = open(config, 'app', 3, APP_TIMEOUT_MS);
    this.gate = open(config, 'gate', config.database.gatePoolSize, GATE_TIMEOUT_MS);
    // Every authenticated request looks its principal up here.
    this.reader = open(config, 'reader', READER_CONNECTIONS, APP_TIMEOUT_MS);
  }

  async onApplicationShutdown(): Promise<void> {
    await Promise.allSettled([this.app.end(), this.gate.end(), this.reader.end()]);
  }
}

function open(config: Config, role: keyof RoleNames, max: number, timeoutMs: number): pg.Pool {
  const pool = new pg.Pool({
    ...connectionFor(config.database, role),
    max,
    idleTimeoutMillis: 60_000,
    connectionTimeoutMillis: Math.min(CONNECT_TIMEOUT_MS, timeoutMs),
    statement_timeout: timeoutMs,
    query_timeout: timeoutMs + 500,
    keepAlive: true,
  });
  // Without a listener an idle connection that the server closes would end the process.
  pool.on('error', (error) => logger.warn({ role, err: error.message }, 'an idle database connection was lost'));
  return pool;
}
