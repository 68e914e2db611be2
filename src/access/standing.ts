import type { Permission } from './permission.js';
import type { Principal } from './principal.js';

/**
 * Port through which an answer that takes long asks whether its caller still stands as the guard saw it. The room that judges
 * callers implements it.
 */
export abstract class Standing {
  /**
   * Whether this caller would be let in for this now: credential, account, membership and role as they are at the moment.
   * @throws when that cannot be found out; whoever asks must then stop.
   */
  abstract stillMay(principal: Principal, permission: Permission): Promise<boolean>;
}
