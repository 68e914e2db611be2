import { Injectable, type BeforeApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { Transactions } from '../platform/database/transactions.js';
import { logger } from '../platform/telemetry/logger.js';
import { PatsRepository } from './pats.repository.js';

const FLUSH_MS = 2_000;
/** Beyond this, uses of further tokens are forgotten until the next flush. */
const MAX_NOTED = 10_000;

interface Use {
  readonly tenantId: string;
  readonly at: number;
  readonly ip: string;
}

/** When and from where each token was used last: noted in memory, written every two seconds, before a list and at shutdown. */
@Injectable()
export class PatUses implements OnModuleInit, BeforeApplicationShutdown {
  private noted = new Map<string, Use>();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly transactions: Transactions,
    private readonly repository: PatsRepository,
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
  note(id: string, use: Use): void {
    if (this.noted.size < MAX_NOTED || this.noted.has(id)) this.noted.set(id, use);
  }

  /** A use that is not written yet, in milliseconds. */
  unwritten(id: string): number | undefined {
    return this.noted.get(id)?.at;
  }

  async flush(): Promise<void> {
    const uses = this.noted;
    this.noted = new Map();
    for (const [id, { tenantId, at, ip }] of uses) {
      try {
        await this.transactions.run({ tenantId }, (tx) => this.repository.noteUse(tx, id, new Date(at), ip));
      } catch (error) {
        logger.warn({ err: error }, 'the last use of an access token could not be written');
      }
    }
  }
}
