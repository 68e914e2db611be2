import { Injectable } from '@nestjs/common';
import type { Counter } from 'prom-client';
import { Metrics } from '../platform/telemetry/metrics.js';
import type { QuickHistogram } from '../platform/telemetry/quick-histogram.js';

/** Seconds; a callback has a budget of 50 ms, the broker gives up after 5 s. */
const LATENCY_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5] as const;

/** What the broker's door counts, without a label set a question: building one costs more than the decision. */
@Injectable()
export class BrokerMetrics {
  private readonly decisions: Counter<'door' | 'result' | 'reason'>;
  private readonly latency: QuickHistogram<'door'>;
  private readonly sheds: Counter;
  /** prom-client looks a label set up on every increment; ours are few and are flushed when the registry is scraped. */
  private readonly pending = new Map<string, number>();

  constructor(metrics: Metrics) {
    this.decisions = metrics.counter('portcullis_decisions_total', 'Answers to the broker, by reason.', ['door', 'result', 'reason'], () => this.flush());
    this.latency = metrics.histogram({
      name: 'portcullis_callback_seconds',
      help: 'Time from the last byte of a question to its answer.',
      buckets: LATENCY_BUCKETS,
      label: 'door',
      values: ['auth', 'acl'],
    });
    this.sheds = metrics.counter('portcullis_audit_shed_total', 'Refusals that were counted but not written, because one address tries one device again and again.');
  }

  count(door: 'auth' | 'acl', allow: boolean, reason: string, seconds: number): void {
    const key = allow ? door : `${door}|${reason}`;
    this.pending.set(key, (this.pending.get(key) ?? 0) + 1);
    this.latency.note(door, seconds);
  }

  shed(): void {
    this.sheds.inc();
  }

  private flush(): void {
    for (const [key, value] of this.pending) {
      const [door = '', reason] = key.split('|');
      this.decisions.inc({ door, result: reason === undefined ? 'allow' : 'deny', reason: reason ?? 'ALLOWED' }, value);
    }
    this.pending.clear();
  }
}
