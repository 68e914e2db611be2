import { Global, Module } from '@nestjs/common';
import { AuditLogRepository } from './audit-log.repository.js';
import { AuditLogService } from './audit-log.service.js';
import { AuditTailService } from './audit-tail.service.js';
import { AUDIT_TIMES, AuditVigil, USUAL_TIMES } from './audit-vigil.js';
import { AuditMetrics } from './audit.metrics.js';
import { AuditMonths } from './audit-months.js';
import { AuditController } from './audit.controller.js';
import { AuditRepository } from './audit.repository.js';
import { AuditService } from './audit.service.js';
import { AuditStream } from './audit.stream.js';

/** The security log. Global: nearly every room writes to it. */
@Global()
@Module({
  controllers: [AuditController],
  providers: [
    { provide: AUDIT_TIMES, useValue: USUAL_TIMES },
    AuditRepository,
    AuditService,
    AuditStream,
    AuditMetrics,
    AuditMonths,
    AuditLogRepository,
    AuditLogService,
    AuditTailService,
    AuditVigil,
  ],
  exports: [AuditService, AuditStream],
})
export class AuditModule {}
