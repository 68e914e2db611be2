import { Module } from '@nestjs/common';
import { AccountsService } from './accounts.service.js';
import { PlatformAccountsController } from './platform-accounts.controller.js';
import { PlatformAccountsRepository } from './platform-accounts.repository.js';
import { PlatformAccountsService } from './platform-accounts.service.js';
import { TenantsService } from './tenants.service.js';
import { TenantMembersService } from './tenant-members.service.js';
import { TenantsController } from './tenants.controller.js';
import { TenantsRepository } from './tenants.repository.js';
import { UsersController } from './users.controller.js';
import { UsersRepository } from './users.repository.js';
import { UsersService } from './users.service.js';

/** People, tenants, memberships. The ports `PasswordHashing` and `StandingAccess` come from the room that logs people in. */
@Module({
  controllers: [UsersController, TenantsController, PlatformAccountsController],
  providers: [
    UsersRepository,
    UsersService,
    AccountsService,
    TenantsService,
    TenantsRepository,
    TenantMembersService,
    PlatformAccountsService,
    PlatformAccountsRepository,
  ],
  exports: [UsersService, AccountsService, TenantsService],
})
export class UsersModule {}
