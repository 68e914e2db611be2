import { Injectable, type BeforeApplicationShutdown, type OnApplicationBootstrap, type OnModuleInit } from '@nestjs/common';
import { Narrowing, NarrowingHub, type Subject } from '../devices/narrowing.js';
import type { Transaction } from '../platform/database/transactions.js';
import { logger } from '../platform/telemetry/logger.js';
import { EjectionJobs } from './ejection-jobs.js';
import { Ejector } from './ejector.js';

const POLL_MS = 1_000;
const BATCH = 500;

/**
 * Takes up what is due: ejections that the broker has not confirmed, second looks, and sessions whose rules were narrowed. Every
 * instance has one; the claim in Postgres keeps them apart.
 */
@Injectable()
export class EjectionWorker extends Narrowing implements OnModuleInit, OnApplicationBootstrap, BeforeApplicationShutdown {
  private timer: NodeJS.Timeout | undefined;
  private round: Promise<void> | undefined;
  private again = false;
  private stopped = false;

  constructor(
    private readonly hub: NarrowingHub,
    private readonly jobs: EjectionJobs,
    private readonly ejector: Ejector,
  ) {
    super();
  }

  onModuleInit(): void {
    this.hub.register(this);
  }

  onApplicationBootstrap(): void {
    this.timer = setInterval(() => this.committed(), POLL_MS);
    this.timer.unref();
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.stopped = true;
    clearInterval(this.timer);
    await this.round;
  }

  ordered(tx: Transaction, subjects: readonly Subject[], why: string): Promise<void> {
    return this.ejector.orderMany(tx, subjects, why);
  }

  /** Looks for work now. */
  committed(): void {
    if (this.stopped) return;
    if (this.round) {
      this.again = true;
      return;
    }
    this.round = this.workAll()
      .catch((error: unknown) => logger.warn({ err: error }, 'due ejections could not be read'))
      .finally(() => {
        this.round = undefined;
        if (!this.again) return;
        this.again = false;
        this.committed();
      });
  }

  private async workAll(): Promise<void> {
    for (;;) {
      const due = await this.jobs.claimDue(BATCH);
      await this.ejector.workMany(due);
      if (due.length < BATCH || this.stopped) return;
    }
  }
}
