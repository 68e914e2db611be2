import { Global, Module } from '@nestjs/common';
import { AuditRepository } from './audit.repository.js';
import { AuditService } from './audit.service.js';
import { AuditStream } from './audit.stream.js';

/** The security log. Global: nearly every room writes to it. */
@Global()
@Module({
  providers: [AuditRepository, AuditService, AuditStream],
  exports: [AuditService, AuditStream],
})
export class AuditModule {}
