import { Injectable, type OnModuleInit } from '@nestjs/common';
import { Narrowing, NarrowingHub, type Subject } from '../devices/narrowing.js';
import { logger } from '../platform/telemetry/logger.js';
import { Ejector } from './ejector.js';

/** Sessions that were opened under wider rules are kicked, so that they come back under the narrower ones. */
@Injectable()
export class SessionNarrowing extends Narrowing implements OnModuleInit {
  constructor(
    private readonly hub: NarrowingHub,
    private readonly ejector: Ejector,
  ) {
    super();
  }

  onModuleInit(): void {
    this.hub.register(this);
  }

  narrowed(subjects: readonly Subject[], why: string): void {
    void this.ejectAll(subjects, why).catch((error: unknown) => logger.error({ err: error, why }, 'narrowed sessions could not be ejected'));
  }

  /** One after another: a group may have a hundred thousand members, and none of them is in a greater hurry than the broker. */
  private async ejectAll(subjects: readonly Subject[], why: string): Promise<void> {
    for (const subject of subjects) await this.ejector.ejectIfLive(subject, why);
  }
}
