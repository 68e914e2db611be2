import { Injectable, type BeforeApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { DevicesService } from '../devices/devices.service.js';
import { Transactions } from '../platform/database/transactions.js';
import { Lru } from '../platform/redis/lru.js';
import { logger } from '../platform/telemetry/logger.js';
import { CertificatesRepository } from './certificates.repository.js';

interface Use {
  readonly kind: 'device' | 'service';
  readonly ownerId: string;
  readonly tenantId: string;
  /** Milliseconds. */
  readonly at: number;
}

const FLUSH_MS = 2_000;
/** Beyond this, uses of further certificates are forgotten until the next flush. */
const MAX_NOTED = 20_000;
/** A use is written at most so often a certificate. */
const EVERY_MS = 60_000;
const MAX_WRITTEN = 50_000;

/**
 * When each certificate was used: noted in memory, written aside. The first use of a renewed certificate ends the overlap of the one
 * before it.
 */
@Injectable()
export class CertificateUse implements OnModuleInit, BeforeApplicationShutdown {
  private noted = new Map<string, Use>();
  private readonly written = new Lru<string, number>(MAX_WRITTEN);
  private timer: NodeJS.Timeout | undefined;
  private flushing: Promise<void> | null = null;

  constructor(
    private readonly transactions: Transactions,
    private readonly devices: DevicesService,
    private readonly repository: CertificatesRepository,
  ) {}

  onModuleInit(): void {
    this.timer = setInterval(() => void this.flush(), FLUSH_MS);
    this.timer.unref();
  }

  async beforeApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    await this.flush();
  }

  /** Never waits and never fails. */
  note(certificateId: string, owner: { readonly kind: 'device' | 'service'; readonly id: string; readonly tenantId: string }, at: number): void {
    const before = this.written.get(certificateId);
    if ((before !== undefined && at - before < EVERY_MS) || this.noted.has(certificateId) || this.noted.size >= MAX_NOTED) return;
    this.noted.set(certificateId, { kind: owner.kind, ownerId: owner.id, tenantId: owner.tenantId, at });
  }

  /** Writes what was noted. */
  flush(): Promise<void> {
    this.flushing ??= this.write().finally(() => (this.flushing = null));
    return this.flushing;
  }

  private async write(): Promise<void> {
    const uses = this.noted;
    this.noted = new Map();
    for (const [id, use] of uses) {
      try {
        await this.writeOne(id, use);
        this.written.set(id, use.at);
      } catch (error) {
        logger.warn({ err: error }, 'the use of a certificate could not be written');
      }
    }
  }

  private writeOne(id: string, { kind, ownerId, tenantId, at }: Use): Promise<void> {
    return this.transactions.run({ tenantId }, async (tx) => {
      const ended = await this.repository.noteUse(tx, id, new Date(at));
      // The gate must see the end of the one before.
      if (ended && kind === 'device') await this.devices.touch(tx, ownerId);
    });
  }
}
