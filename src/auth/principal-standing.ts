import { Injectable } from '@nestjs/common';
import { rightsOf, type Permission } from '../access/permission.js';
import type { Principal } from '../access/principal.js';
import { Standing } from '../access/standing.js';
import { Clock } from '../platform/clock/clock.js';
import { statusOf } from './pat.js';
import { grantedBy } from './pat-scope.js';
import { PatsRepository } from './pats.repository.js';
import { PrincipalsService } from './principals.service.js';
import { entersFor } from './tenant-entry.js';

/** Judges a caller anew, by the statements that the guard uses. Who is known by neither session nor token is refused. */
@Injectable()
export class PrincipalStanding extends Standing {
  constructor(
    private readonly principals: PrincipalsService,
    private readonly pats: PatsRepository,
    private readonly clock: Clock,
  ) {
    super();
  }

  async stillMay(principal: Principal, permission: Permission, since: number): Promise<boolean> {
    if (principal.kind === 'pat') return this.tokenMay(principal, permission, since);
    const { kind, id, sessionId, tenantId, credential } = principal;
    if (kind !== 'user' || sessionId === null || (credential !== 'bearer' && credential !== 'cookie')) return false;
    const now = await this.principals.again(id, sessionId, credential);
    if (now === null) return false;
    if (now.tenantId === tenantId) return now.permissions.has(permission);
    // A tenant that the platform entered, for as long as the platform's role says so.
    return entersFor(now.platformRole, permission);
  }

  private async tokenMay({ id, tenantId, credentialId }: Principal, permission: Permission, since: number): Promise<boolean> {
    const pat = credentialId === undefined ? null : await this.pats.standing(credentialId);
    if (pat === null || pat.userId !== id || pat.tenantId !== tenantId) return false;
    // A reset gives the token another secret: the one that was shown is none any more. A reader is no idle token.
    if (pat.issuedAt.getTime() > since || !['ACTIVE', 'IDLE'].includes(statusOf(pat, this.clock.now()))) return false;
    return grantedBy(pat.scopes, rightsOf(pat.role, null), undefined).has(permission);
  }
}
