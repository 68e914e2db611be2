import type { Redis } from 'ioredis';
import { describe } from './redis-error.js';

/**
 * The subscription connection. It is `subscribed` only when every channel was confirmed on the
 * connection that is open now; whoever relies on hearing everything must know of each gap.
 */
export class RedisSubscriber {
  private readonly handlers = new Map<string, ((message: string) => void)[]>();
  private readonly watchers: ((up: boolean) => void)[] = [];
  private confirmed = false;
  private closing = false;
  private announced: boolean | undefined;
  private lastError: string | undefined;
  /** Counts connections, so that a confirmation that belongs to an earlier one is not taken for this one's. */
  private epoch = 0;

  constructor(
    private readonly redis: Redis,
    private readonly prefix: string,
    private readonly onState: (up: boolean, reason?: string) => void,
  ) {
    redis.on('error', (error: Error) => (this.lastError = describe(error)));
    redis.on('ready', () => {
      this.epoch += 1;
      void this.takeUp();
    });
    redis.on('close', () => this.change(false));
    redis.on('end', () => this.reopen());
    redis.on('message', (channel: string, message: string) => this.deliver(channel, message));
  }

  get subscribed(): boolean {
    return this.confirmed;
  }

  channelName(channel: string): string {
    return this.prefix + channel;
  }

  async connect(): Promise<void> {
    await this.redis.connect();
  }

  async subscribe(channel: string, handler: (message: string) => void): Promise<void> {
    const name = this.channelName(channel);
    const handlers = this.handlers.get(name);
    if (handlers) {
      handlers.push(handler);
    } else {
      this.handlers.set(name, [handler]);
    }
    // Even a channel that is there already may not be confirmed yet.
    if (this.redis.status === 'ready') await this.takeUp();
  }

  onChange(handler: (up: boolean) => void): void {
    this.watchers.push(handler);
  }

  /** A connection that no longer carries messages is found by asking; the answer follows whatever was sent before it. */
  async beat(): Promise<void> {
    if (this.redis.status !== 'ready') return;
    try {
      // Asked twice: where this process itself stood still, its timer fires before the answer is read.
      await this.redis.ping().catch(() => this.redis.ping());
      if (!this.confirmed) await this.takeUp();
    } catch (error) {
      this.drop(error);
    }
  }

  close(): void {
    this.closing = true;
    this.change(false);
    this.redis.disconnect();
  }

  /** Subscribes to all channels on the connection of this moment. */
  private async takeUp(): Promise<void> {
    const { epoch } = this;
    const channels = [...this.handlers.keys()];
    try {
      if (channels.length > 0) await this.redis.subscribe(...channels);
    } catch (error) {
      if (epoch === this.epoch) this.drop(error);
      return;
    }
    const complete = channels.length === this.handlers.size;
    if (epoch === this.epoch && complete && this.redis.status === 'ready') this.change(true);
  }

  private drop(error: unknown): void {
    this.lastError = describe(error);
    this.change(false);
    if (!this.closing && this.redis.status === 'ready') this.redis.disconnect(true);
  }

  private deliver(channel: string, message: string): void {
    for (const handler of this.handlers.get(channel) ?? []) {
      try {
        handler(message);
      } catch {
        // A subscriber's fault is its own; the others still hear.
      }
    }
  }

  private change(up: boolean): void {
    if (this.confirmed !== up) {
      this.confirmed = up;
      for (const watcher of this.watchers) {
        try {
          watcher(up);
        } catch {
          // As above.
        }
      }
    }
    if (this.announced === up || this.closing) return;
    this.announced = up;
    this.onState(up, up ? undefined : this.lastError);
  }

  private reopen(): void {
    if (this.closing) return;
    setTimeout(() => {
      if (!this.closing && this.redis.status === 'end') this.redis.connect().catch(() => undefined);
    }, 1_000).unref();
  }
}
