import { Module } from '@nestjs/common';
import { CredentialsModule } from '../credentials/credentials.module.js';
import { DevicesModule } from '../devices/devices.module.js';
import { PkiModule } from '../pki/pki.module.js';
import { RateLimitModule } from '../rate-limit/rate-limit.module.js';
import { BrokerLine } from './broker.line.js';
import { BrokerMetrics } from './broker.metrics.js';
import { BrokerDoor } from './door.js';
import { ExplainController } from './explain.controller.js';
import { ExplainService } from './explain.service.js';

@Module({
  imports: [DevicesModule, CredentialsModule, PkiModule, RateLimitModule],
  controllers: [ExplainController],
  providers: [BrokerDoor, BrokerLine, BrokerMetrics, ExplainService],
  exports: [BrokerDoor],
})
export class BrokerModule {}
