import { Injectable, type BeforeApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { DevicesService } from '../devices/devices.service.js';
import type { Facts } from '../devices/facts.js';
import { Clock } from '../platform/clock/clock.js';
import { Transactions } from '../platform/database/transactions.js';
import { logger } from '../platform/telemetry/logger.js';

const FLUSH_MS = 1_000;

/**
 * What verified messages say about their devices. A status is written before its message is acknowledged; when a device was last
 * heard of is written once a second for all, and what a crash takes of that is seen again with the next message.
 */
@Injectable()
export class DeviceReports implements OnModuleInit, BeforeApplicationShutdown {
  /** Tenant → device → last heard of. */
  private seen = new Map<string, Map<string, Date>>();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly transactions: Transactions,
    private readonly devices: DevicesService,
  ) {}

  onModuleInit(): void {
    this.timer = setInterval(() => void this.flush(), FLUSH_MS).unref();
  }

  async beforeApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    await this.flush();
  }

  noteSeen({ id, tenantId }: Facts): void {
    const devices = this.seen.get(tenantId) ?? new Map<string, Date>();
    this.seen.set(tenantId, devices.set(id, new Date(this.clock.now())));
  }

  /** @param at the time in the message, ms; one older than the last changes nothing */
  recordStatus({ id, tenantId }: Facts, status: string, at: number): Promise<void> {
    return this.transactions.run({ tenantId }, (tx) =>
      this.devices.recordReport(tx, id, new Date(this.clock.now()), { status, at: new Date(at) }));
  }

  async flush(): Promise<void> {
    const { seen } = this;
    this.seen = new Map();
    for (const [tenantId, devices] of seen) {
      try {
        await this.transactions.run({ tenantId }, (tx) => this.devices.recordSeen(tx, devices));
      } catch (error) {
        logger.warn({ err: error, tenantId, devices: devices.size }, 'when devices were last seen could not be written');
      }
    }
  }
}
