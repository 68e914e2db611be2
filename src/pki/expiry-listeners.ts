import { Injectable } from '@nestjs/common';
import { logger } from '../platform/telemetry/logger.js';
import type { ExpiryNotice } from './expiry.js';

/**
 * Port: told what ends soon, after it was written to the security log, each threshold once. The log is the record: a process that is
 * killed between the commit and the call tells nobody.
 */
export abstract class ExpiryListener {
  abstract expiring(notices: readonly ExpiryNotice[]): void | Promise<void>;
}

/** Where rooms above register their `ExpiryListener`: this room cannot know them. */
@Injectable()
export class ExpiryListeners {
  private readonly listeners: ExpiryListener[] = [];

  register(listener: ExpiryListener): void {
    this.listeners.push(listener);
  }

  /** One that fails keeps nothing from the others. */
  async tell(notices: readonly ExpiryNotice[]): Promise<void> {
    for (const listener of this.listeners) {
      try {
        await listener.expiring(notices);
      } catch (error) {
        logger.error({ err: error }, 'who listens for certificates that end soon failed');
      }
    }
  }
}
