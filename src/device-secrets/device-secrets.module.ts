import { Module } from '@nestjs/common';
import { DevicesModule } from '../devices/devices.module.js';
import { DeviceSecretsHolders, DeviceSecretsListing } from './device-secrets-listing.js';
import { DeviceSecretsGate } from './device-secrets.gate.js';
import { DeviceSecretsRepository } from './device-secrets.repository.js';
import { DeviceSecretsService } from './device-secrets.service.js';

/** HMAC secrets of devices. */
@Module({
  imports: [DevicesModule],
  providers: [DeviceSecretsRepository, DeviceSecretsService, DeviceSecretsGate, DeviceSecretsListing, DeviceSecretsHolders],
  exports: [DeviceSecretsService, DeviceSecretsGate],
})
export class DeviceSecretsModule {}
