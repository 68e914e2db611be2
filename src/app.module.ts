import { Module, type DynamicModule } from '@nestjs/common';
import { AuditModule } from './audit/audit.module.js';
import { AuthModule } from './auth/auth.module.js';
import { BrokerLintModule } from './broker-lint/broker-lint.module.js';
import { BrokerModule } from './broker/broker.module.js';
import { CredentialsModule } from './credentials/credentials.module.js';
import { DevicesModule } from './devices/devices.module.js';
import { ENTITIES } from './entities.js';
import { IdempotencyModule } from './idempotency/idempotency.module.js';
import type { BrokerControl } from './lifecycle/broker-control.js';
import { LifecycleModule } from './lifecycle/lifecycle.module.js';
import { MessagesModule } from './messages/messages.module.js';
import type { Clock } from './platform/clock/clock.js';
import type { Config } from './platform/config/config.js';
import { PlatformModule } from './platform/platform.module.js';
import type { KeyValueStore } from './platform/redis/key-value.js';
import { RateLimitModule } from './rate-limit/rate-limit.module.js';
import { UsersModule } from './users/users.module.js';

export interface AppOptions {
  readonly config: Config;
  readonly store: KeyValueStore;
  readonly brokerControl: BrokerControl;
  readonly clock?: Clock;
}

/** The house, floor by floor. */
@Module({})
export class AppModule {
  static forRoot({ config, store, brokerControl, clock }: AppOptions): DynamicModule {
    return {
      module: AppModule,
      imports: [
        PlatformModule.forRoot({ config, entities: ENTITIES, store, ...(clock ? { clock } : {}) }),
        AuditModule,
        RateLimitModule,
        IdempotencyModule,
        UsersModule,
        DevicesModule,
        CredentialsModule,
        AuthModule,
        LifecycleModule.forRoot(brokerControl),
        BrokerModule,
        BrokerLintModule,
        MessagesModule,
      ],
    };
  }
}
