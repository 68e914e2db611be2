export interface EjectionStep {
  readonly step: string;
  /** Milliseconds, to a tenth. */
  readonly ms: number;
}

/** Times named steps, those that fail included. */
export class Stopwatch {
  readonly steps: EjectionStep[] = [];
  private readonly started = performance.now();

  async time<T>(step: string, work: () => Promise<T>): Promise<T> {
    const from = performance.now();
    try {
      return await work();
    } finally {
      this.steps.push({ step, ms: round(performance.now() - from) });
    }
  }

  get totalMs(): number {
    return round(performance.now() - this.started);
  }
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}
