import { Module } from '@nestjs/common';
import { AuditModule } from '../audit/audit.module.js';
import { ConnectionsHub } from './connections.js';
import { CredentialListings } from './credential-listing.js';
import { DevicesController } from './devices.controller.js';
import { DevicesGate } from './devices.gate.js';
import { DevicesRepository } from './devices.repository.js';
import { DevicesService } from './devices.service.js';
import { FactsChanges } from './facts-changes.js';
import { GroupsController } from './groups.controller.js';
import { GroupsRepository } from './groups.repository.js';
import { GroupsService } from './groups.service.js';
import { CredentialHoldings } from './holdings.js';
import { NarrowingHub } from './narrowing.js';
import { ObjectRights } from './object-rights.service.js';
import { RoleBindingsController } from './role-bindings.controller.js';
import { RoleBindingsRepository } from './role-bindings.repository.js';
import { RoleBindingsService } from './role-bindings.service.js';
import { DeviceRulesController, GroupRulesController, ServiceAccountRulesController } from './rules.controller.js';
import { RulesRepository } from './rules.repository.js';
import { RulesService } from './rules.service.js';
import { ServiceAccountsController } from './service-accounts.controller.js';
import { ServiceAccountsRepository } from './service-accounts.repository.js';
import { ServiceAccountsService } from './service-accounts.service.js';

/** The registry of devices and service accounts, and the broker's view of it. */
@Module({
  imports: [AuditModule],
  controllers: [
    DevicesController,
    DeviceRulesController,
    GroupsController,
    GroupRulesController,
    RoleBindingsController,
    ServiceAccountsController,
    ServiceAccountRulesController,
  ],
  providers: [
    DevicesRepository,
    GroupsRepository,
    RulesRepository,
    RoleBindingsRepository,
    ServiceAccountsRepository,
    DevicesService,
    GroupsService,
    RulesService,
    RoleBindingsService,
    ObjectRights,
    ServiceAccountsService,
    FactsChanges,
    DevicesGate,
    NarrowingHub,
    CredentialHoldings,
    CredentialListings,
    ConnectionsHub,
  ],
  exports: [
    DevicesService,
    GroupsService,
    RulesService,
    ServiceAccountsService,
    RoleBindingsService,
    ObjectRights,
    DevicesGate,
    NarrowingHub,
    CredentialHoldings,
    CredentialListings,
    ConnectionsHub,
  ],
})
export class DevicesModule {}
