import { randomUUID } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { ANONYMOUS_ACTOR } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { CONFIG, type Config } from '../platform/config/config.js';
import { Transactions } from '../platform/database/transactions.js';
import { RateLimitService } from '../rate-limit/rate-limit.service.js';
import { AccountsService } from '../users/accounts.service.js';
import { emailKey } from '../users/user.js';
import { Passwords } from './passwords.js';

export interface Registration {
  readonly email: string;
  readonly password: string;
  readonly name: string;
}

/** Public registration, where `REGISTRATION=open` allows it. */
@Injectable()
export class RegistrationService {
  readonly open: boolean;

  constructor(
    @Inject(CONFIG) config: Config,
    private readonly transactions: Transactions,
    private readonly accounts: AccountsService,
    private readonly passwords: Passwords,
    private readonly limits: RateLimitService,
    private readonly audit: AuditService,
  ) {
    this.open = config.web.registration === 'open';
  }

  /**
   * Makes an account without any membership, hence without any right. An address that is taken gets the same answer after the same
   * work, and changes nothing: the answer does not tell who has an account here.
   * @throws RATE_LIMITED, PASSWORD_NOT_ACCEPTED, PASSWORD_CHECKS_BUSY
   */
  async register(person: Registration, address: string): Promise<void> {
    await this.limits.enforce('register.address', address);
    const id = randomUUID();
    const { email, name } = person;
    const passwordHash = await this.passwords.hash(person.password, person, 'anybody');
    await this.transactions.run({ userId: id, email: emailKey(email) }, async (tx) => {
      const created = await this.accounts.create(tx, { id, email, name, passwordHash });
      const event = { tenantId: null, actor: ANONYMOUS_ACTOR, ip: address } as const;
      // Both ways write one row, so both commit.
      if (created) await this.audit.record(tx, { ...event, type: 'USER_REGISTERED', userId: id });
      else await this.audit.record(tx, { ...event, type: 'AUTH_FAILURE', details: { reason: 'email-taken', method: 'register' } });
    });
  }
}
