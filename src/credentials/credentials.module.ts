import { Global, Module } from '@nestjs/common';
import { DeviceProof } from '../access/device-proof.js';
import { AuditModule } from '../audit/audit.module.js';
import { DevicesModule } from '../devices/devices.module.js';
import { CredentialHolders } from './credential-holders.js';
import { CredentialMaterials } from './credential-materials.js';
import { DeviceCredentialsController, DeviceTokensController, KeySetController } from './credentials.controller.js';
import { CredentialsGate } from './credentials.gate.js';
import { CredentialsRepository } from './credentials.repository.js';
import { CredentialsService } from './credentials.service.js';
import { DeviceProofService } from './device-proof.service.js';
import { KeyRing } from './key-ring.js';
import { LastUse } from './last-use.js';
import { SigningKeysRepository } from './signing-keys.repository.js';
import { SigningKeysService } from './signing-keys.service.js';
import { TokenVerifier } from './token-verifier.js';

/** Client secrets and device tokens. Global, so that the guard's room, a neighbour, is given the port `DeviceProof`. */
@Global()
@Module({
  imports: [AuditModule, DevicesModule],
  controllers: [DeviceCredentialsController, DeviceTokensController, KeySetController],
  providers: [
    CredentialsRepository,
    CredentialsService,
    CredentialMaterials,
    CredentialHolders,
    CredentialsGate,
    TokenVerifier,
    KeyRing,
    SigningKeysRepository,
    SigningKeysService,
    LastUse,
    DeviceProofService,
    { provide: DeviceProof, useExisting: DeviceProofService },
  ],
  exports: [CredentialsService, CredentialsGate, SigningKeysService, TokenVerifier, DeviceProof],
})
export class CredentialsModule {}
