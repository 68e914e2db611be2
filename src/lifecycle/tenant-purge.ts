import { Injectable, type BeforeApplicationShutdown, type OnApplicationBootstrap } from '@nestjs/common';
import { Clock } from '../platform/clock/clock.js';
import { logger } from '../platform/telemetry/logger.js';
import { TenantsService } from '../users/tenants.service.js';

const LOOK_MS = 60_000;

/** Deletes tenants whose grace is over. Every instance looks; Postgres lets one of them do it. */
@Injectable()
export class TenantPurge implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private timer: NodeJS.Timeout | undefined;
  private round: Promise<void> | undefined;

  constructor(
    private readonly tenants: TenantsService,
    private readonly clock: Clock,
  ) {}

  onApplicationBootstrap(): void {
    this.timer = setInterval(() => {
      this.round ??= this.purge().finally(() => {
        this.round = undefined;
      });
    }, LOOK_MS);
    this.timer.unref();
  }

  async beforeApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    await this.round;
  }

  /** One look; never throws. */
  async purge(): Promise<void> {
    try {
      const purged = await this.tenants.purgeDoomed(new Date(this.clock.now()));
      if (purged.length > 0) logger.warn({ tenants: purged }, 'tenants were deleted');
    } catch (error) {
      logger.error({ err: error }, 'a tenant could not be deleted');
    }
  }
}
