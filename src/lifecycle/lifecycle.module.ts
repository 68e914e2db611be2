import { Global, Module, type DynamicModule } from '@nestjs/common';
import { AuditModule } from '../audit/audit.module.js';
import { CredentialsModule } from '../credentials/credentials.module.js';
import { DeviceSecretsModule } from '../device-secrets/device-secrets.module.js';
import { DevicesModule } from '../devices/devices.module.js';
import { PkiModule } from '../pki/pki.module.js';
import { RateLimitModule } from '../rate-limit/rate-limit.module.js';
import { UsersModule } from '../users/users.module.js';
import { BrokerControl } from './broker-control.js';
import { BulkRegistration } from './bulk.js';
import { CertificationController } from './certification.controller.js';
import { EjectionJobs } from './ejection-jobs.js';
import { EjectionWorker } from './ejection-worker.js';
import { Ejector } from './ejector.js';
import { GatewayAccount } from './gateway-account.js';
import { IncidentsController } from './incidents.controller.js';
import { IncidentsService } from './incidents.service.js';
import { IssuingService } from './issuing.service.js';
import { LifecycleController } from './lifecycle.controller.js';
import { LifecycleService } from './lifecycle.service.js';
import { RegistrationController } from './registration.controller.js';
import { RegistrationService } from './registration.service.js';
import { RevocationService } from './revocation.service.js';
import { ServiceAccountsLifecycleController } from './service-accounts-lifecycle.controller.js';
import { TenantPurge } from './tenant-purge.js';
import { TenantsLifecycleController } from './tenants-lifecycle.controller.js';
import { TenantsLifecycleService } from './tenants-lifecycle.service.js';
import { TrustService } from './trust.service.js';

/** Global, since it exists once only: with the form of `BrokerControl` that `forRoot` was given. */
@Global()
@Module({
  imports: [AuditModule, DevicesModule, CredentialsModule, DeviceSecretsModule, PkiModule, RateLimitModule, UsersModule],
  controllers: [
    RegistrationController,
    LifecycleController,
    CertificationController,
    ServiceAccountsLifecycleController,
    TenantsLifecycleController,
    IncidentsController,
  ],
  providers: [
    LifecycleService,
    RegistrationService,
    BulkRegistration,
    TrustService,
    RevocationService,
    IssuingService,
    Ejector,
    EjectionJobs,
    EjectionWorker,
    GatewayAccount,
    TenantsLifecycleService,
    TenantPurge,
    IncidentsService,
  ],
  exports: [LifecycleService, GatewayAccount],
})
export class LifecycleModule {
  /** @param broker the form of `BrokerControl` that fits the broker of this installation. */
  static forRoot(broker: BrokerControl): DynamicModule {
    return { module: LifecycleModule, providers: [{ provide: BrokerControl, useValue: broker }], exports: [BrokerControl] };
  }
}
