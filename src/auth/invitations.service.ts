import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { mayGrant, rightsOf, type Role } from '../access/permission.js';
import type { TenantPrincipal } from '../access/principal.js';
import { actorOf, type AuditActor } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { Clock } from '../platform/clock/clock.js';
import { DataKeys } from '../platform/crypto/data-keys.js';
import { Transactions, type Transaction } from '../platform/database/transactions.js';
import { decodeCursor, DEFAULT_PAGE, pageOf, type Page } from '../platform/http/paging.js';
import { platformError } from '../platform/problem/platform.errors.js';
import { RateLimitService } from '../rate-limit/rate-limit.service.js';
import { AccountsService } from '../users/accounts.service.js';
import { TenantsService } from '../users/tenants.service.js';
import { emailKey } from '../users/user.js';
import { usersError } from '../users/users.errors.js';
import { authError } from './auth.errors.js';
import { InvitationsRepository, type Invitation, type PendingInvitation } from './invitations.repository.js';
import { Letters } from './letters.js';
import { isKept, MAIL_TOKEN_PURPOSE, newMailToken, parseMailToken } from './mail-token.js';
import { Passwords } from './passwords.js';

const INVITATION_TTL_MS = 168 * 3_600_000;

export interface Acceptance {
  readonly token: string;
  /** A new account's password, or that of the account which the address has already. */
  readonly password: string;
  /** Of a new account. */
  readonly name?: string;
}

export interface Accepted {
  readonly userId: string;
  readonly email: string;
  readonly tenantId: string;
  readonly role: Role;
}

/** Invitations into a tenant, by mail; they bring people who have an account elsewhere, too, without anybody touching it. */
@Injectable()
export class InvitationsService {
  constructor(
    private readonly transactions: Transactions,
    private readonly repository: InvitationsRepository,
    private readonly accounts: AccountsService,
    private readonly tenants: TenantsService,
    private readonly passwords: Passwords,
    private readonly letters: Letters,
    private readonly limits: RateLimitService,
    private readonly keys: DataKeys,
    private readonly audit: AuditService,
    private readonly clock: Clock,
  ) {}

  /** Says the same whether or not the address has an account. @throws GRANT_EXCEEDS_OWN, MAIL_NOT_CONFIGURED */
  async invite(actor: TenantPrincipal, email: string, role: Role): Promise<Invitation> {
    this.letters.demandMail();
    if (!mayGrant(actor.permissions, role)) throw usersError('GRANT_EXCEEDS_OWN', { detail: `The role ${role} allows more than you may.` });
    const { tenantId } = actor;
    const tenant = await this.tenants.get(tenantId);
    const id = randomUUID();
    const createdAt = new Date(this.clock.now());
    const expiresAt = new Date(createdAt.getTime() + INVITATION_TTL_MS);
    const invitation = { id, tenantId, email, role, invitedBy: actor.id, createdAt, expiresAt };
    const { token, ...kept } = newMailToken('pci_', id, await this.keys.current(MAIL_TOKEN_PURPOSE));
    await this.transactions.run({ tenantId }, async (tx) => {
      await this.repository.insert(tx, invitation, kept);
      await this.audit.record(tx, { type: 'USER_INVITED', tenantId, actor: actorOf(actor), details: { invitationId: id, email, role } });
    });
    this.letters.later(() => Promise.resolve({
      to: email,
      subject: `An invitation to ${tenant.name}`,
      text: `You are invited to ${tenant.name} as ${role}. Within a week, accept here:\n\n${this.letters.link('accept-invitation', token)}\n`,
    }));
    return invitation;
  }

  /** Pending ones, oldest first. */
  async list({ tenantId }: TenantPrincipal, query: { limit?: number; cursor?: string }): Promise<Page<Invitation>> {
    const { limit = DEFAULT_PAGE, cursor } = query;
    const after = decodeCursor(cursor);
    const now = new Date(this.clock.now());
    const rows = await this.transactions.run({ tenantId }, (tx) => this.repository.page(tx, now, limit + 1, after));
    return pageOf(rows, limit, (row) => ({ at: row.at, id: row.id }), (row) => row);
  }

  /** @throws INVITATION_NOT_FOUND */
  async revoke(actor: TenantPrincipal, id: string): Promise<void> {
    const { tenantId } = actor;
    await this.transactions.run({ tenantId }, async (tx) => {
      const revoked = await this.repository.revoke(tx, { id }, new Date(this.clock.now()));
      if (revoked.length === 0) throw authError('INVITATION_NOT_FOUND');
      await this.audit.record(tx, { type: 'USER_INVITATION_REVOKED', tenantId, actor: actorOf(actor), details: { invitationId: id } });
    });
  }

  /** Takes back all that an account has sent in the transaction's tenant, without a trace of its own; answers how many. */
  async revokeSentBy(tx: Transaction, userId: string): Promise<number> {
    return (await this.repository.revoke(tx, { invitedBy: userId }, new Date(this.clock.now()))).length;
  }

  /**
   * @throws INVITATION_INVALID, INVALID_CREDENTIALS (the address has an account with another password), PASSWORD_NOT_ACCEPTED,
   *   MEMBER_EXISTS, TENANT_FROZEN, VALIDATION_FAILED (a new account without a name), RATE_LIMITED, PASSWORD_CHECKS_BUSY
   */
  async accept(acceptance: Acceptance, address: string): Promise<Accepted> {
    await this.limits.enforce('invitation.address', address);
    const invitation = await this.genuine(acceptance.token);
    const { tenantId, email, role } = invitation;
    const key = emailKey(email);
    const account = await this.transactions.run({ email: key }, (tx) => this.accounts.findByEmail(tx, key));
    const userId = account?.id ?? randomUUID();
    let passwordHash = '';
    if (account) await this.proveOwner(acceptance.password, account.passwordHash, account.status);
    else passwordHash = await this.passwords.hash(acceptance.password, { email, name: named(acceptance) });
    await this.transactions.run({ tenantId, userId, email: key }, async (tx) => {
      if (!(await this.repository.accept(tx, invitation.id, new Date(this.clock.now())))) throw authError('INVITATION_INVALID');
      if (!account && !(await this.accounts.create(tx, { id: userId, email, name: named(acceptance), passwordHash }))) {
        throw authError('INVITATION_INVALID', { internal: 'the address was registered meanwhile' });
      }
      if (!(await this.accounts.join(tx, tenantId, userId, role))) throw usersError('MEMBER_EXISTS');
      const actor: AuditActor = { kind: 'user', id: userId };
      const details = { invitationId: invitation.id, role, invitedBy: invitation.invitedBy, newAccount: account === null };
      await this.audit.record(tx, { type: 'USER_INVITATION_ACCEPTED', tenantId, userId, actor, ip: address, details });
    });
    await this.limits.refund('invitation.address', address);
    return { userId, email, tenantId, role };
  }

  private async genuine(token: string): Promise<PendingInvitation> {
    const parsed = parseMailToken('pci_', token);
    const found = parsed && (await this.repository.pending(parsed.id));
    const good = parsed && found && found.expiresAt.getTime() > this.clock.now()
      && isKept('pci_', await this.keys.find(found.dataKeyId), parsed, found.digest);
    if (!good || !this.mayStillGrant(found)) throw authError('INVITATION_INVALID');
    if (found.tenantFrozen) throw authError('TENANT_FROZEN');
    return found;
  }

  /** Whoever was demoted or has left leaves no door open behind them. */
  private mayStillGrant({ role, inviterRole, inviterPlatformRole }: PendingInvitation): boolean {
    const entering = inviterPlatformRole === 'PLATFORM_ADMIN' || inviterPlatformRole === 'PLATFORM_OPERATOR_WRITE';
    return mayGrant(rightsOf(entering ? 'ADMIN' : inviterRole, inviterPlatformRole), role);
  }

  private async proveOwner(password: string, stored: string, status: string): Promise<void> {
    const { matches } = await this.passwords.verify(password, stored, 'known');
    if (!matches || status !== 'ACTIVE') throw authError('INVALID_CREDENTIALS');
  }
}

function named({ name }: Acceptance): string {
  if (name !== undefined) return name;
  throw platformError('VALIDATION_FAILED', { errors: [{ path: 'name', message: 'name is needed for a new account' }] });
}
