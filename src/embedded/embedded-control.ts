import { BrokerControl, type LiveSession } from '../lifecycle/broker-control.js';
import type { EmbeddedBroker } from './broker.js';

/**
 * `BrokerControl` of the embedded broker. The broker starts last, since it asks the callbacks; the lifecycle is built first.
 * Until the broker is there nothing is connected, so nothing needs to be cut.
 */
export class EmbeddedControl extends BrokerControl {
  readonly kind = 'embedded';
  private broker: EmbeddedBroker | undefined;

  attach(broker: EmbeddedBroker): void {
    this.broker = broker;
  }

  async find(subject: string): Promise<LiveSession[]> {
    return this.broker?.liveSessions(subject) ?? [];
  }

  async ban(clientId: string, seconds: number, reason: string): Promise<void> {
    await this.broker?.ban(clientId, seconds, reason);
  }

  async unban(clientId: string): Promise<void> {
    await this.broker?.unban(clientId);
  }

  async bans(subject: string): Promise<string[]> {
    return this.broker ? this.broker.bans(subject) : [];
  }

  async kick(clientId: string): Promise<void> {
    await this.broker?.kick(clientId);
  }

  async resetCaches(): Promise<void> {
    await this.broker?.resetCaches();
  }
}
