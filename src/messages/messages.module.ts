import { Module } from '@nestjs/common';
import { AuditModule } from '../audit/audit.module.js';
import { DeviceSecretsModule } from '../device-secrets/device-secrets.module.js';
import { DevicesModule } from '../devices/devices.module.js';
import { RateLimitModule } from '../rate-limit/rate-limit.module.js';
import { CommandAcks } from './command-acks.js';
import { CommandDispatcher } from './command-dispatcher.js';
import { CommandsController } from './commands.controller.js';
import { CommandsRepository } from './commands.repository.js';
import { CommandsService } from './commands.service.js';
import { DeviceReports } from './device-reports.js';
import { GatewayPublisher } from './gateway-publisher.js';
import { MessageBudget } from './message-budget.js';
import { MessageChallenges } from './message-challenges.js';
import { MessageFailures } from './message-failures.js';
import { MessageGateway } from './message-gateway.js';
import { MessageIntake } from './message-intake.js';
import { MessageJudge } from './message-judge.js';
import { MessageNonces } from './message-nonces.js';
import { MessageSink } from './message-sink.js';
import { MessagesController } from './messages.controller.js';
import { VerificationService } from './verification.service.js';

/** Signed traffic: the verifier and its doors, the gateway, commands. */
@Module({
  imports: [AuditModule, DevicesModule, DeviceSecretsModule, RateLimitModule],
  controllers: [MessagesController, CommandsController],
  providers: [
    MessageChallenges,
    MessageJudge,
    MessageNonces,
    MessageBudget,
    MessageFailures,
    MessageIntake,
    MessageGateway,
    MessageSink,
    GatewayPublisher,
    DeviceReports,
    VerificationService,
    CommandsRepository,
    CommandsService,
    CommandAcks,
    CommandDispatcher,
  ],
  exports: [MessageGateway],
})
export class MessagesModule {}
