import { Inject, Injectable } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import type { Permission } from '../access/permission.js';
import type { Principal } from '../access/principal.js';
import { Standing } from '../access/standing.js';
import { Clock } from '../platform/clock/clock.js';
import { logger } from '../platform/telemetry/logger.js';

/** Injection token of the `AuditTimes`; a test may shorten them. */
export const AUDIT_TIMES = Symbol('AUDIT_TIMES');

/** Milliseconds. */
export interface AuditTimes {
  /** Between two looks of a tail for new rows. */
  readonly poll: number;
  /** Between two looks at the rights of whoever reads. */
  readonly recheck: number;
  /** Of silence, after which a tail says that it lives. */
  readonly heartbeat: number;
}

/** Look and poll together end a stream within 5 s of the moment when its reader's right ended. */
export const USUAL_TIMES: AuditTimes = { poll: 500, recheck: 4_000, heartbeat: 15_000 };

/** Asks, as often as it is called; answers from the last look until that is too old. */
export type Vigil = () => Promise<boolean>;

/** Keeps an eye on the rights of those who read for long. */
@Injectable()
export class AuditVigil {
  constructor(
    // Looked up when it is needed: whoever implements the port stands above this room.
    private readonly modules: ModuleRef,
    private readonly clock: Clock,
    @Inject(AUDIT_TIMES) private readonly times: AuditTimes,
  ) {}

  /** Begins now, with rights that the guard has just seen. Once they are gone, or cannot be found out, the answer stays no. */
  over(principal: Principal, permissions: readonly Permission[]): Vigil {
    const since = this.clock.now();
    let seen = performance.now();
    let standing = true;
    return async () => {
      if (!standing || performance.now() - seen < this.times.recheck) return standing;
      standing = await this.allStand(principal, permissions, since);
      seen = performance.now();
      return standing;
    };
  }

  private async allStand(principal: Principal, permissions: readonly Permission[], since: number): Promise<boolean> {
    try {
      const port = this.modules.get(Standing, { strict: false });
      for (const permission of permissions) if (!(await port.stillMay(principal, permission, since))) return false;
      return true;
    } catch (error) {
      logger.warn({ err: error }, 'the rights of a reader of the security log could not be looked at; the reading ends');
      return false;
    }
  }
}
