import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import { QuickHistogram, type QuickHistogramOptions } from './quick-histogram.js';

/** The registry that `/metrics` prints; its own, so that a test can open several applications in one process. */
export class Metrics {
  readonly registry = new Registry();

  constructor() {
    collectDefaultMetrics({ register: this.registry, prefix: 'portcullis_' });
  }

  /** `collect` runs when the registry is scraped, for whoever counts by cheaper means in between. */
  counter<L extends string>(name: string, help: string, labelNames: readonly L[] = [], collect?: () => void): Counter<L> {
    return new Counter({ name, help, labelNames: [...labelNames], registers: [this.registry], ...(collect ? { collect } : {}) });
  }

  /** A gauge that is read when it is scraped. */
  gauge(name: string, help: string, read: () => number): Gauge {
    return new Gauge({
      name,
      help,
      registers: [this.registry],
      collect() {
        this.set(read());
      },
    });
  }

  /** A gauge by labels, for whoever counts now and then and sets what was found. */
  gauges<L extends string>(name: string, help: string, labelNames: readonly L[]): Gauge<L> {
    return new Gauge({ name, help, labelNames: [...labelNames], registers: [this.registry] });
  }

  /** By one label, whose values are all named. */
  histogram<L extends string>(options: Omit<QuickHistogramOptions<L>, 'registry'>): QuickHistogram<L> {
    return new QuickHistogram({ ...options, registry: this.registry });
  }
}
