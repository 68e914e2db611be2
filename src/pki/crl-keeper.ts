import { Inject, Injectable, type BeforeApplicationShutdown, type OnApplicationBootstrap } from '@nestjs/common';
import { Clock } from '../platform/clock/clock.js';
import { CONFIG, type Config } from '../platform/config/config.js';
import { logger } from '../platform/telemetry/logger.js';
import { BrokerFiles } from './broker-files.js';
import { CrlsRepository, type CrlState } from './crls.repository.js';
import { CrlsService, RENEW_AFTER_MS } from './crls.service.js';

const LOOK_MS = 30_000;

/**
 * Looks after the lists: makes one anew long before it runs out, catches up with a revocation whose list failed, and keeps the files
 * of brokers that read no URL. Every instance looks; the turn at an authority's row keeps two from doing the same work.
 */
@Injectable()
export class CrlKeeper implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private timer: NodeJS.Timeout | undefined;
  private working: Promise<void> | null = null;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly clock: Clock,
    private readonly repository: CrlsRepository,
    private readonly crls: CrlsService,
    private readonly files: BrokerFiles,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    if (this.config.role === 'gate') return;
    this.timer = setInterval(() => void this.tick(), LOOK_MS);
    this.timer.unref();
    const first = this.tick();
    // A broker that is started once this process is healthy finds its files.
    if (this.files.wanted) await first;
  }

  async beforeApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    await this.working;
  }

  /** One look, at once; of several calls one works. */
  tick(): Promise<void> {
    this.working ??= this.look()
      .catch((error: unknown) => logger.error({ err: error }, 'revocation lists could not be looked after'))
      .finally(() => (this.working = null));
    return this.working;
  }

  private async look(): Promise<void> {
    await this.files.writeAuthorities();
    const due = new Date(this.clock.now() - RENEW_AFTER_MS);
    for (const state of await this.repository.states()) {
      if (state.unlisted || state.thisUpdate === null || state.thisUpdate <= due) await this.renew(state);
    }
    await this.files.writeLists();
  }

  private async renew({ authorityId, tenantId }: CrlState): Promise<void> {
    try {
      await this.crls.publish(authorityId, tenantId);
    } catch (error) {
      // The list before is still served, whole; an authority whose key is elsewhere publishes its list there.
      logger.warn({ err: error, authorityId }, 'a revocation list could not be made; the one before is still served');
    }
  }
}
