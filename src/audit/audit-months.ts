import { Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { logger } from '../platform/telemetry/logger.js';
import { AuditRepository } from './audit.repository.js';

const DAY_MS = 24 * 60 * 60_000;
const MONTHS_AHEAD = 2;

/** Has the partitions of the coming months made, at start and daily. Without one, rows wait in the catch-all partition. */
@Injectable()
export class AuditMonths implements OnApplicationBootstrap, OnApplicationShutdown {
  private timer: NodeJS.Timeout | null = null;

  constructor(private readonly repository: AuditRepository) {}

  async onApplicationBootstrap(): Promise<void> {
    this.timer = setInterval(() => void this.prepare(), DAY_MS).unref();
    await this.prepare();
  }

  onApplicationShutdown(): void {
    if (this.timer) clearInterval(this.timer);
  }

  async prepare(): Promise<void> {
    try {
      const made = await this.repository.prepareMonths(MONTHS_AHEAD);
      if (made > 0) logger.info({ made }, 'partitions of the security log were made');
    } catch (error) {
      logger.error({ err: error }, 'partitions of the security log could not be made; the next attempt is in a day');
    }
  }
}
