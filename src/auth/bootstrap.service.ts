import { randomBytes, randomUUID } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { SYSTEM_ACTOR } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { CONFIG, type Config } from '../platform/config/config.js';
import { Transactions } from '../platform/database/transactions.js';
import { isAppError } from '../platform/problem/app-error.js';
import { AccountsService } from '../users/accounts.service.js';
import { TenantsService } from '../users/tenants.service.js';
import { emailKey } from '../users/user.js';
import { Passwords } from './passwords.js';

export interface FirstAdmin {
  readonly email: string;
  /** The generated password, told this once; `null` when it was configured. */
  readonly password: string | null;
}

/** Instances that start at once meet at this advisory lock. */
const BOOTSTRAP_LOCK = 0x61646d31;
/** 18 bytes: 24 characters of base64url. */
const GENERATED_BYTES = 18;
const EMAIL = /^[^\s@]{1,64}@[^\s@]{1,189}$/;

/** Gives an installation without people its first admin: ADMIN of `default` and PLATFORM_ADMIN. */
@Injectable()
export class BootstrapService {
  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly transactions: Transactions,
    private readonly accounts: AccountsService,
    private readonly tenants: TenantsService,
    private readonly passwords: Passwords,
    private readonly audit: AuditService,
  ) {}

  /**
   * Answers the admin if this call made it, `null` if there are people already. Of several instances one makes it.
   * @throws a sentence for the operator, when the configured e-mail or password cannot be used.
   */
  async ensureFirstAdmin(): Promise<FirstAdmin | null> {
    if ((await this.accounts.count()) > 0) return null;
    const { email, password: configured } = this.config.bootstrap;
    if (configured === undefined && this.config.production) {
      throw new Error('There is no user yet: set ADMIN_EMAIL and ADMIN_PASSWORD for the first admin.');
    }
    if (!EMAIL.test(email)) throw new Error('ADMIN_EMAIL is not an e-mail address.');
    const password = configured ?? randomBytes(GENERATED_BYTES).toString('base64url');
    const id = randomUUID();
    const name = 'Administrator';
    const passwordHash = await this.hash(password, { email, name });
    const tenantId = await this.tenants.defaultTenantId();
    const made = await this.transactions.run({ tenantId, userId: id, email: emailKey(email) }, async (tx) => {
      await tx.query('SELECT pg_advisory_xact_lock($1)', [BOOTSTRAP_LOCK]);
      // Row security hides other accounts from this transaction, the count asks as the reader. Whoever held the lock has committed.
      if ((await this.accounts.count()) > 0) return false;
      await this.accounts.create(tx, { id, email, name, passwordHash, platformRole: 'PLATFORM_ADMIN' });
      await this.accounts.join(tx, tenantId, id, 'ADMIN');
      await this.audit.record(tx, {
        type: 'USER_BOOTSTRAPPED',
        severity: 'CRITICAL',
        tenantId,
        userId: id,
        actor: SYSTEM_ACTOR,
        details: { generated: configured === undefined },
      });
      return true;
    });
    return made ? { email, password: configured === undefined ? password : null } : null;
  }

  private async hash(password: string, owner: { email: string; name: string }): Promise<string> {
    try {
      return await this.passwords.hash(password, owner);
    } catch (error) {
      if (!isAppError(error, 'PASSWORD_NOT_ACCEPTED')) throw error;
      throw new Error(`ADMIN_PASSWORD cannot be used: ${error.errors?.[0]?.message ?? error.title}.`, { cause: error });
    }
  }
}
