import { Injectable } from '@nestjs/common';
import { logger } from '../platform/telemetry/logger.js';

/** Who connects to the broker: a device or a service account. */
export interface Subject {
  readonly kind: 'device' | 'service';
  readonly id: string;
  readonly tenantId: string;
}

/**
 * Port: told, after the commit and after the gate's caches were invalidated, which subjects may do less than before. Their
 * sessions were opened under wider rules and must be looked at again. It must return at once.
 */
export abstract class Narrowing {
  /** `why` is a code for the audit trail, such as `RULE_REMOVED`. */
  abstract narrowed(subjects: readonly Subject[], why: string): void;
}

/** Where a room above registers its `Narrowing`: this room cannot know it. */
@Injectable()
export class NarrowingHub extends Narrowing {
  private target: Narrowing | undefined;

  register(target: Narrowing): void {
    this.target = target;
  }

  narrowed(subjects: readonly Subject[], why: string): void {
    if (subjects.length === 0) return;
    if (!this.target) {
      logger.error({ subjects: subjects.length, why }, 'nobody looks after sessions that are wider than their rules');
      return;
    }
    this.target.narrowed(subjects, why);
  }
}
