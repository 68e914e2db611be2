import { Injectable } from '@nestjs/common';
import type { Permission } from '../access/permission.js';
import type { Principal } from '../access/principal.js';
import { Standing } from '../access/standing.js';
import { PrincipalsService } from './principals.service.js';

/** Judges a caller anew, by the statement that the guard uses. What has no session cannot be judged twice, and is refused. */
@Injectable()
export class PrincipalStanding extends Standing {
  constructor(private readonly principals: PrincipalsService) {
    super();
  }

  async stillMay({ kind, id, sessionId, tenantId, credential }: Principal, permission: Permission): Promise<boolean> {
    if (kind !== 'user' || sessionId === null || (credential !== 'bearer' && credential !== 'cookie')) return false;
    const now = await this.principals.find({ userId: id, sessionId, tenantId }, credential);
    return now !== null && now.tenantId === tenantId && now.permissions.has(permission);
  }
}
