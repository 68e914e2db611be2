import { Injectable } from '@nestjs/common';
import { Metrics } from '../platform/telemetry/metrics.js';
import { AuditStream } from './audit.stream.js';

/** The buffered lane as Prometheus sees it; read when it is scraped, so that noting an event costs nothing more. */
@Injectable()
export class AuditMetrics {
  constructor(metrics: Metrics, stream: AuditStream) {
    metrics.gauge('portcullis_audit_queue', 'Events that wait to be written to the security log.', () => stream.stats.queued);
    metrics.gauge('portcullis_audit_written', 'Rows written by the buffered lane since the start.', () => stream.stats.written);
    metrics.gauge('portcullis_audit_aggregated', 'Repeats that were added to a count instead of a row, since the start.', () => stream.stats.aggregated);
    for (const lane of ['high', 'success', 'rest'] as const) {
      metrics.gauge(`portcullis_audit_dropped_${lane}`, `Events of the ${lane} lane that were dropped since the start; LOG_GAP rows tell when.`, () => stream.stats.dropped[lane]);
    }
  }
}
