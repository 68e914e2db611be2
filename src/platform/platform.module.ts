import { Global, Inject, Module, type DynamicModule, type OnApplicationShutdown } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { Clock, SystemClock } from './clock/clock.js';
import { CONFIG, type Config } from './config/config.js';
import { DataKeys } from './crypto/data-keys.js';
import { appDataSource, ReaderSource, type EntityClass } from './database/data-source.js';
import { Notifications } from './database/notifications.js';
import { Pools } from './database/pools.js';
import { Transactions } from './database/transactions.js';
import { InternalRoutes } from './http/internal-routes.js';
import { Mailer, mailerFor } from './mail/mailer.js';
import { KeyValueStore } from './redis/key-value.js';
import { Health } from './telemetry/health.js';
import { Metrics } from './telemetry/metrics.js';

export interface PlatformOptions {
  readonly config: Config;
  readonly entities: readonly EntityClass[];
  readonly store: KeyValueStore;
  /** The machine's clock unless a test gives another. */
  readonly clock?: Clock;
}

/** The ground floor for every room: configuration, clock, stores, transactions, keys. */
@Global()
@Module({})
export class PlatformModule implements OnApplicationShutdown {
  constructor(
    @Inject(DataSource) private readonly source: DataSource,
    private readonly readers: ReaderSource,
    private readonly store: KeyValueStore,
  ) {}

  static forRoot({ config, entities, store, clock = new SystemClock() }: PlatformOptions): DynamicModule {
    return {
      module: PlatformModule,
      providers: [
        { provide: CONFIG, useValue: config },
        { provide: Clock, useValue: clock },
        { provide: KeyValueStore, useValue: store },
        { provide: DataSource, useFactory: () => appDataSource(config.database, entities).initialize() },
        { provide: ReaderSource, useFactory: () => ReaderSource.over(config.database, entities) },
        Pools,
        Notifications,
        Transactions,
        DataKeys,
        Health,
        InternalRoutes,
        { provide: Mailer, useFactory: () => mailerFor(config) },
        { provide: Metrics, useFactory: () => new Metrics() },
      ],
      exports: [CONFIG, Clock, KeyValueStore, DataSource, Pools, Notifications, Transactions, DataKeys, Health, InternalRoutes, Mailer, Metrics],
    };
  }

  async onApplicationShutdown(): Promise<void> {
    if (this.source.isInitialized) await this.source.destroy();
    await this.readers.close();
    await this.store.close();
  }
}
