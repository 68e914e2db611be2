import { Injectable } from '@nestjs/common';
import { DevicesService } from '../devices/devices.service.js';
import type { Facts } from '../devices/facts.js';
import { Clock } from '../platform/clock/clock.js';
import { Transactions } from '../platform/database/transactions.js';
import { WriteBehind } from '../platform/database/write-behind.js';

interface Seen {
  readonly tenantId: string;
  readonly at: Date;
}

/**
 * What verified messages say about their devices. A status is written before its message is acknowledged; when a device was last
 * heard of is written once a second for all, and what a crash takes of that is seen again with the next message.
 */
@Injectable()
export class DeviceReports extends WriteBehind<Seen> {
  constructor(
    private readonly clock: Clock,
    private readonly transactions: Transactions,
    private readonly devices: DevicesService,
  ) {
    super({ what: 'when devices were last seen', everyMs: 1_000, most: 200_000, batch: 10_000 });
  }

  noteSeen({ id, tenantId }: Facts): void {
    this.keep(id, { tenantId, at: new Date(this.clock.now()) });
  }

  /** @param at the time in the message, ms; one older than the last changes nothing */
  recordStatus({ id, tenantId }: Facts, status: string, at: number): Promise<void> {
    return this.transactions.run({ tenantId }, (tx) =>
      this.devices.recordReport(tx, id, new Date(this.clock.now()), { status, at: new Date(at) }));
  }

  protected write(tenantId: string, seen: ReadonlyMap<string, Seen>): Promise<void> {
    const devices = new Map([...seen].map(([id, { at }]) => [id, at]));
    return this.transactions.run({ tenantId }, (tx) => this.devices.recordSeen(tx, devices));
  }
}
