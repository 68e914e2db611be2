import { Inject, Injectable, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { CONFIG, type Config } from '../platform/config/config.js';
import { ConfigError } from '../platform/config/reader.js';
import { Health } from '../platform/telemetry/health.js';
import { logger } from '../platform/telemetry/logger.js';
import { Metrics } from '../platform/telemetry/metrics.js';
import { waiver } from './check.js';
import { finding, type Finding, type FindingId } from './finding.js';
import { blocking } from './lint.js';
import { lintRunning } from './running-configuration.js';

const REFRESH_MS = 60_000;
/** EMQX may start after Portcullis. */
const RETRY_MS = 5_000;
const UNCONFIGURED = finding('unread', '', 'EMQX_API_URL is not set');

/**
 * Keeps a judgement of the running broker beside the process: readiness and metrics read it, nothing waits for it.
 * In production a process is not ready before its broker is; elsewhere what is found is only logged.
 */
@Injectable()
export class BrokerConfiguration implements OnModuleInit, OnApplicationShutdown {
  private readonly waived: ReadonlySet<FindingId>;
  private findings: readonly Finding[] | null = null;
  private timer?: NodeJS.Timeout;
  private stopped = false;
  private logged = '';

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly health: Health,
    metrics: Metrics,
  ) {
    try {
      this.waived = waiver(config.mqtt.lintWaived);
    } catch (error) {
      throw new ConfigError([`BROKER_LINT_WAIVE ${(error as Error).message}`]);
    }
    metrics.gauge(
      'portcullis_broker_configuration_errors',
      'Settings of the broker that let traffic past Portcullis and are not waived; -1 when none were looked for.',
      () => (this.findings === null ? -1 : blocking(this.findings, this.waived).length),
    );
  }

  onModuleInit(): void {
    const { production, mqtt } = this.config;
    if (production) this.health.register('brokerConfiguration', async () => this.clean());
    // The embedded broker has no settings of its own.
    if (mqtt.url !== undefined) void this.refresh();
  }

  onApplicationShutdown(): void {
    this.stopped = true;
    clearTimeout(this.timer);
  }

  /** Whether the broker was read and nothing stands against it. */
  private clean(): boolean {
    return this.findings !== null && blocking(this.findings, this.waived).length === 0;
  }

  private async refresh(): Promise<void> {
    const { emqx } = this.config.mqtt;
    const found = emqx ? await lintRunning(emqx) : [UNCONFIGURED];
    if (this.stopped) return;
    const unread = found.some(({ id }) => id === 'unread');
    // A management API that fails says nothing about the settings: what was read before still counts.
    if (!unread || this.findings === null || this.findings.some(({ id }) => id === 'unread')) this.findings = found;
    this.log(found);
    if (!emqx) return;
    this.timer = setTimeout(() => void this.refresh(), unread ? RETRY_MS : REFRESH_MS);
    this.timer.unref();
  }

  /** Once for each different set of findings, not once a minute. */
  private log(found: readonly Finding[]): void {
    const errors = blocking(found, this.waived);
    const text = errors.map(({ id, path, found: what }) => `${id} at ${path || 'the broker'} (${what})`).join('; ');
    if (text === this.logged) return;
    this.logged = text;
    if (errors.length === 0) logger.info('nothing in the configuration of the broker lets traffic past Portcullis');
    else logger.warn({ findings: errors.map(({ id, path, write }) => ({ id, path, write })) }, `the configuration of the broker lets traffic past Portcullis: ${text}`);
  }
}
