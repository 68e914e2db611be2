import type { LoggerService } from '@nestjs/common';
import { logger } from './logger.js';

/** Nest's own messages through the process's logger; its chatter while it wires modules is for debugging only. */
export class NestLogger implements LoggerService {
  log(message: unknown, context?: string): void {
    logger.debug({ context }, String(message));
  }

  warn(message: unknown, context?: string): void {
    logger.warn({ context }, String(message));
  }

  error(message: unknown, stack?: string, context?: string): void {
    logger.error({ context, stack }, String(message));
  }

  fatal(message: unknown, stack?: string, context?: string): void {
    logger.fatal({ context, stack }, String(message));
  }
}
