import { Injectable } from '@nestjs/common';
import type { Permission } from '../access/permission.js';
import type { Principal } from '../access/principal.js';
import { Standing } from '../access/standing.js';
import { PatJudge } from './pat-judge.js';
import { PrincipalsService } from './principals.service.js';

/** Judges a caller anew, by the statement that the guard uses. What has no session cannot be judged twice, and is refused. */
@Injectable()
export class PrincipalStanding extends Standing {
  constructor(
    private readonly principals: PrincipalsService,
    private readonly pats: PatJudge,
  ) {
    super();
  }

  async stillMay(principal: Principal, permission: Permission): Promise<boolean> {
    const { kind, id, sessionId, tenantId, credential } = principal;
    if (kind === 'pat') return this.pats.stillMay(principal, permission);
    if (kind !== 'user' || sessionId === null || (credential !== 'bearer' && credential !== 'cookie')) return false;
    const now = await this.principals.find({ userId: id, sessionId, tenantId }, credential);
    return now !== null && now.tenantId === tenantId && now.permissions.has(permission);
  }
}
