import { Injectable } from '@nestjs/common';
import { logger } from '../platform/telemetry/logger.js';
import type { Facts } from './facts.js';

/** Told of a device that was just let in; it must return at once. The device has not subscribed to anything yet. */
export type ConnectionListener = (facts: Facts) => void;

/** Between the broker's door, which lets devices in, and its neighbours, which want to know. Hears of this process's door alone. */
@Injectable()
export class ConnectionsHub {
  private readonly listeners: ConnectionListener[] = [];

  register(listener: ConnectionListener): void {
    this.listeners.push(listener);
  }

  connected(facts: Facts): void {
    for (const listener of this.listeners) {
      try {
        listener(facts);
      } catch (error) {
        logger.error({ err: error }, 'a listener for connections failed');
      }
    }
  }
}
