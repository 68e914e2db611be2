import { Module } from '@nestjs/common';
import { AccountsService } from './accounts.service.js';
import { TenantsService } from './tenants.service.js';
import { UsersController } from './users.controller.js';
import { UsersRepository } from './users.repository.js';
import { UsersService } from './users.service.js';

/** People, tenants, memberships. The ports `PasswordHashing` and `StandingAccess` come from the room that logs people in. */
@Module({
  controllers: [UsersController],
  providers: [UsersRepository, UsersService, AccountsService, TenantsService],
  exports: [UsersService, AccountsService, TenantsService],
})
export class UsersModule {}
