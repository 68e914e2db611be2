import type { BeforeApplicationShutdown, OnModuleInit } from '@nestjs/common';
import { logger } from '../telemetry/logger.js';

export interface Noted {
  readonly tenantId: string;
}

export interface WriteBehindOptions {
  /** What is written, for the log: 'last uses of credentials'. */
  readonly what: string;
  /** Milliseconds between two writes. */
  readonly everyMs: number;
  /** Beyond so many, further keys are forgotten until the next write: a store that is away must not fill the memory. */
  readonly most: number;
  /** How many values of one tenant go into one write. */
  readonly batch: number;
}

/**
 * Values that are noted in memory, the latest for each key, and written aside: every few seconds, when asked, and at shutdown. For
 * what may be lost with the process (when something was used last), never for what somebody was told is stored.
 */
export abstract class WriteBehind<V extends Noted> implements OnModuleInit, BeforeApplicationShutdown {
  private noted = new Map<string, V>();
  private timer: NodeJS.Timeout | undefined;
  private flushing: Promise<void> | null = null;

  protected constructor(private readonly options: WriteBehindOptions) {}

  /** Writes values of one tenant, by key. Where it rejects, they are kept for the next time. */
  protected abstract write(tenantId: string, values: ReadonlyMap<string, V>): Promise<void>;

  onModuleInit(): void {
    this.timer = setInterval(() => void this.flush(), this.options.everyMs).unref();
  }

  async beforeApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    await this.flush();
    // What was noted during the write itself.
    await this.flush();
  }

  /** Never waits and never fails. */
  protected keep(key: string, value: V): void {
    if (this.noted.size < this.options.most || this.noted.has(key)) this.noted.set(key, value);
  }

  /** What is noted for a key and not written yet. */
  protected kept(key: string): V | undefined {
    return this.noted.get(key);
  }

  /** Writes what was noted up to now; never rejects. */
  async flush(): Promise<void> {
    // A write that is under way has begun before, without what was noted since.
    await this.flushing;
    this.flushing ??= this.writeAll().finally(() => (this.flushing = null));
    return this.flushing;
  }

  private async writeAll(): Promise<void> {
    if (this.noted.size === 0) return;
    const values = this.noted;
    this.noted = new Map();
    for (const [tenantId, entries] of byTenant(values)) {
      for (let from = 0; from < entries.length; from += this.options.batch) {
        const batch = entries.slice(from, from + this.options.batch);
        try {
          await this.write(tenantId, new Map(batch));
        } catch (error) {
          logger.warn({ err: error, tenantId, values: batch.length }, `${this.options.what} could not be written`);
          for (const [key, value] of batch) if (!this.noted.has(key)) this.keep(key, value);
        }
      }
    }
  }
}

function byTenant<V extends Noted>(values: ReadonlyMap<string, V>): Map<string, [string, V][]> {
  const tenants = new Map<string, [string, V][]>();
  for (const entry of values) {
    const entries = tenants.get(entry[1].tenantId);
    if (entries) entries.push(entry);
    else tenants.set(entry[1].tenantId, [entry]);
  }
  return tenants;
}
