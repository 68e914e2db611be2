import { Injectable } from '@nestjs/common';
import type { Transaction } from '../platform/database/transactions.js';
import { StandingAccess, type AccessEnd, type EndedAccess } from '../users/standing-access.js';
import { AccountTokensRepository } from './account-tokens.repository.js';
import { InvitationsService } from './invitations.service.js';
import { PatsService } from './pats.service.js';
import { SessionsService } from './sessions.service.js';

/** Sessions, access tokens and pending invitations: all with which a member acts in a tenant. */
@Injectable()
export class StandingAccessService extends StandingAccess {
  constructor(
    private readonly sessions: SessionsService,
    private readonly pats: PatsService,
    private readonly invitations: InvitationsService,
    private readonly mailed: AccountTokensRepository,
  ) {
    super();
  }

  async end(tx: Transaction, tenantId: string, userId: string, reason: AccessEnd): Promise<EndedAccess> {
    const sessionsEnded = (await this.sessions.endAll(tx, userId, { tenantId }, reason)).length;
    const patsRevoked = await this.pats.end(tx, userId, reason);
    return { sessionsEnded, patsRevoked, invitationsRevoked: await this.invitations.revokeSentBy(tx, userId) };
  }

  async endAccount(tx: Transaction, userId: string, reason: 'account-disabled'): Promise<number> {
    await this.mailed.forgetAll(tx, userId);
    return (await this.sessions.endAll(tx, userId, 'all', reason)).length;
  }
}
