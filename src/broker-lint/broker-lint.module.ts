import { Module } from '@nestjs/common';
import { BrokerConfiguration } from './broker-configuration.js';

@Module({ providers: [BrokerConfiguration] })
export class BrokerLintModule {}
