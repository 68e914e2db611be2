import type { Clock } from '../platform/clock/clock.js';

/** Client ids that are refused at CONNECT until a point in time. Gone with the process. */
export class Bans {
  private readonly until = new Map<string, number>();

  constructor(private readonly clock: Clock) {}

  /** A later ban of the same id takes the place of the earlier one. */
  add(clientId: string, seconds: number): void {
    this.until.set(clientId, this.clock.now() + seconds * 1000);
  }

  remove(clientId: string): void {
    this.until.delete(clientId);
  }

  has(clientId: string): boolean {
    return (this.until.get(clientId) ?? 0) > this.clock.now();
  }

  list(): string[] {
    this.sweep();
    return [...this.until.keys()];
  }

  /** Forgets what has ended. */
  sweep(): void {
    for (const clientId of this.until.keys()) {
      if (!this.has(clientId)) this.until.delete(clientId);
    }
  }
}
