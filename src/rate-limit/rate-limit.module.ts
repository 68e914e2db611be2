import { Global, Module, type OnModuleInit } from '@nestjs/common';
import { Clock } from '../platform/clock/clock.js';
import { CONFIG, type Config } from '../platform/config/config.js';
import { KeyValueStore } from '../platform/redis/key-value.js';
import { RateLimitGate } from './rate-limit.gate.js';
import { RateLimitService } from './rate-limit.service.js';

@Global()
@Module({
  providers: [
    RateLimitService,
    {
      provide: RateLimitGate,
      inject: [KeyValueStore, Clock, CONFIG],
      useFactory: (store: KeyValueStore, clock: Clock, config: Config) =>
        new RateLimitGate(store, clock, { policy: config.gate.authFailurePolicy }),
    },
  ],
  exports: [RateLimitService, RateLimitGate],
})
export class RateLimitModule implements OnModuleInit {
  constructor(private readonly gate: RateLimitGate) {}

  async onModuleInit(): Promise<void> {
    await this.gate.start();
  }
}
