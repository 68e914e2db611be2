import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { Principal, TenantPrincipal } from '../access/principal.js';
import { actorOf, type AuditActor, type AuditEventType } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { AuditStream } from '../audit/audit.stream.js';
import { Clock } from '../platform/clock/clock.js';
import { DataKeys } from '../platform/crypto/data-keys.js';
import { Transactions, type Transaction } from '../platform/database/transactions.js';
import { decodeCursor, DEFAULT_PAGE, pageOf, type Page } from '../platform/http/paging.js';
import { platformError } from '../platform/problem/platform.errors.js';
import { AccountsService } from '../users/accounts.service.js';
import { TenantsService } from '../users/tenants.service.js';
import { usersError } from '../users/users.errors.js';
import { authError } from './auth.errors.js';
import type { Pat, PatEnd } from './pat.js';
import { dottedScope, readScope, type PatScope } from './pat-scope.js';
import { digestPat, newPat, PAT_PURPOSE } from './pat-token.js';
import { PatUses } from './pat-uses.js';
import { PatsRepository, type NewPatSecret } from './pats.repository.js';

export interface PatRequest {
  readonly name: string;
  readonly description?: string;
  readonly seconds: number;
  readonly scopes: readonly unknown[];
  readonly networks?: readonly string[];
  readonly maxIdleSeconds?: number;
}

export interface IssuedPat {
  readonly pat: Pat;
  /** Told this once. */
  readonly token: string;
}

type Paging = { readonly limit?: number; readonly cursor?: string };

const MAX_LIVING = 100;
const MAX_SCOPES = 200;
/** Tokens that are over are of no use; the security log keeps what happened. */
const FORGET_AFTER_MS = 90 * 24 * 3_600_000;

/** Personal access tokens of people: made, narrowed, widened, given a new secret, revoked; always by an interactive session. */
@Injectable()
export class PatsService {
  constructor(
    private readonly transactions: Transactions,
    private readonly repository: PatsRepository,
    private readonly tenants: TenantsService,
    private readonly accounts: AccountsService,
    private readonly keys: DataKeys,
    private readonly uses: PatUses,
    private readonly audit: AuditService,
    private readonly stream: AuditStream,
    private readonly clock: Clock,
  ) {}

  /** @throws VALIDATION_FAILED, PAT_LIMIT_REACHED, TENANT_FROZEN, PERMISSION_DENIED (an account without a tenant) */
  async create(caller: Principal, request: PatRequest): Promise<IssuedPat> {
    const { id: userId, tenantId } = widening(caller);
    const scopes = await this.read(tenantId, request.scopes);
    const id = randomUUID();
    const { token, fresh } = await this.newSecret(userId, id, request.seconds);
    const now = fresh.issuedAt;
    await this.change(caller, async (tx) => {
      await this.repository.forget(tx, userId, new Date(now.getTime() - FORGET_AFTER_MS));
      if ((await this.repository.countLiving(tx, userId, now)) >= MAX_LIVING) throw authError('PAT_LIMIT_REACHED');
      const { name, description = '', networks = [], maxIdleSeconds = null } = request;
      const { issuedAt, expiresAt } = fresh;
      const pat = { id, userId, tenantId, name, description, scopes, networks, maxIdleSeconds, createdAt: now, issuedAt, expiresAt };
      await this.repository.insert(tx, pat, fresh);
      await this.record(tx, caller, 'PAT_CREATED', { patId: id, name, scopes: scopes.map(dottedScope), expiresAt, networks });
    });
    return { pat: await this.transactions.run(scopeOf(caller), (tx) => this.locked(tx, userId, id)), token };
  }

  /** The caller's own, in the tenant of the session. */
  async list(caller: Principal, query: Paging): Promise<Page<Pat>> {
    await this.uses.flush();
    const { limit = DEFAULT_PAGE, cursor } = query;
    const after = decodeCursor(cursor);
    const rows = await this.transactions.run(scopeOf(caller), (tx) => this.repository.page(tx, caller.id, limit + 1, after));
    return pageOf(rows, limit, (row) => ({ at: row.at, id: row.id }), (row) => row);
  }

  /** Everybody's living tokens in the tenant that were not used for this long. */
  async stale({ tenantId }: TenantPrincipal, unusedSeconds: number, query: Paging): Promise<Page<Pat>> {
    await this.uses.flush();
    const { limit = DEFAULT_PAGE, cursor } = query;
    const after = decodeCursor(cursor);
    const now = this.clock.now();
    const before = new Date(now - unusedSeconds * 1000);
    const rows = await this.transactions.run({ tenantId }, (tx) => this.repository.stale(tx, new Date(now), before, limit + 1, after));
    return pageOf(rows, limit, (row) => ({ at: row.at, id: row.id }), (row) => row);
  }

  /** @throws PAT_NOT_FOUND, PAT_REVOKED, VALIDATION_FAILED, TENANT_FROZEN */
  async addScopes(caller: Principal, id: string, given: readonly unknown[]): Promise<Pat> {
    const { tenantId } = widening(caller);
    const more = await this.read(tenantId, given);
    return this.rescope(caller, id, (scopes) => [...scopes, ...more]);
  }

  /** Scopes that it does not have are not missed. @throws PAT_NOT_FOUND, PAT_REVOKED, VALIDATION_FAILED */
  async removeScopes(caller: Principal, id: string, given: readonly unknown[]): Promise<Pat> {
    const gone = new Set((await this.read(caller.tenantId, given)).map(dottedScope));
    return this.rescope(caller, id, (scopes) => scopes.filter((scope) => !gone.has(dottedScope(scope))));
  }

  /** Twice is once. @throws PAT_NOT_FOUND */
  async revoke(caller: Principal, id: string): Promise<Pat> {
    return this.change(caller, async (tx) => {
      await this.locked(tx, caller.id, id);
      const revoked = await this.repository.revoke(tx, caller.id, id, new Date(this.clock.now()), 'revoked');
      if (revoked.length > 0) await this.record(tx, caller, 'PAT_REVOKED', { patId: id });
      return this.locked(tx, caller.id, id);
    });
  }

  /** A new secret and a new life; the old secret ends at once. @throws PAT_NOT_FOUND, PAT_REVOKED, TENANT_FROZEN */
  async reset(caller: Principal, id: string, seconds: number | undefined): Promise<IssuedPat> {
    const { id: userId } = widening(caller);
    return this.change(caller, async (tx) => {
      const pat = await this.living(tx, userId, id);
      const life = seconds ?? Math.round((pat.expiresAt.getTime() - pat.issuedAt.getTime()) / 1000);
      const { token, fresh } = await this.newSecret(userId, id, life);
      await this.repository.setSecret(tx, id, fresh);
      await this.record(tx, caller, 'PAT_RESET', { patId: id, expiresAt: fresh.expiresAt });
      return { pat: await this.locked(tx, userId, id), token };
    });
  }

  /** All of the caller's own in this tenant; answers how many ended. */
  async revokeOwn(caller: Principal): Promise<number> {
    return this.change(caller, (tx) => this.revokeAll(tx, caller, caller.id, 'revoked'));
  }

  /** All of a member's in the caller's tenant. @throws USER_NOT_FOUND */
  async revokeOf(admin: TenantPrincipal, userId: string): Promise<number> {
    return this.transactions.run({ tenantId: admin.tenantId }, async (tx) => {
      if (!(await this.accounts.isMember(tx, userId))) throw usersError('USER_NOT_FOUND');
      return this.revokeAll(tx, admin, userId, 'revoked-by-admin');
    });
  }

  /** Ends a member's tokens in the caller's transaction, without a trace of its own; answers how many. */
  async end(tx: Transaction, userId: string, reason: PatEnd): Promise<number> {
    return (await this.repository.revoke(tx, userId, null, new Date(this.clock.now()), reason)).length;
  }

  /**
   * Ends what an account has in whatever tenant, in the caller's transaction, whose scope holds the account; each tenant is told after
   * the commit. @returns how many
   */
  async endEverywhere(tx: Transaction, actor: AuditActor, userId: string, reason: PatEnd): Promise<number> {
    const ended = await this.repository.revokeEverywhere(tx, userId, new Date(this.clock.now()), reason);
    tx.afterCommit(() => {
      for (const { tenantId, revoked } of ended) this.stream.note({ type: 'PAT_REVOKED', tenantId, userId, actor, details: { revoked, reason } });
    });
    return ended.reduce((sum, { revoked }) => sum + revoked, 0);
  }

  private async revokeAll(tx: Transaction, actor: Principal, userId: string, reason: PatEnd): Promise<number> {
    const revoked = await this.end(tx, userId, reason);
    if (revoked > 0) await this.record(tx, actor, 'PAT_REVOKED', { revoked, reason }, userId);
    return revoked;
  }

  private async rescope(caller: Principal, id: string, work: (scopes: readonly PatScope[]) => PatScope[]): Promise<Pat> {
    return this.change(caller, async (tx) => {
      const pat = await this.living(tx, caller.id, id);
      const scopes = [...new Map(work(pat.scopes).map((scope) => [dottedScope(scope), scope])).values()];
      if (scopes.length > MAX_SCOPES) throw invalid([{ path: 'scopes', message: `a token has at most ${MAX_SCOPES} scopes` }]);
      await this.repository.setScopes(tx, id, scopes);
      await this.record(tx, caller, 'PAT_UPDATED', { patId: id, scopes: scopes.map(dottedScope) });
      return { ...pat, scopes };
    });
  }

  private async newSecret(userId: string, id: string, seconds: number): Promise<{ token: string; fresh: NewPatSecret }> {
    const { id: dataKeyId, key } = await this.keys.current(PAT_PURPOSE);
    const { token, secret } = newPat(id);
    const issuedAt = new Date(this.clock.now());
    const expiresAt = new Date(issuedAt.getTime() + seconds * 1000);
    return { token, fresh: { digest: digestPat(key, userId, id, secret), dataKeyId, issuedAt, expiresAt } };
  }

  private async read(tenantId: string | null, given: readonly unknown[]): Promise<PatScope[]> {
    const tenant = tenantId === null ? null : await this.tenants.find(tenantId);
    if (tenant === null) throw authError('PAT_NOT_FOUND');
    const read = given.map((value) => readScope(value, tenant));
    const faults = read.flatMap((scope, i) => (typeof scope === 'string' ? [{ path: `scopes.${i}`, message: `the scope ${scope}` }] : []));
    if (faults.length > 0) throw invalid(faults);
    const scopes = read.filter((scope) => typeof scope !== 'string');
    return [...new Map(scopes.map((scope) => [dottedScope(scope), scope])).values()];
  }

  private async living(tx: Transaction, userId: string, id: string): Promise<Pat> {
    const pat = await this.locked(tx, userId, id);
    if (pat.revokedAt !== null) throw authError('PAT_REVOKED');
    return pat;
  }

  private async locked(tx: Transaction, userId: string, id: string): Promise<Pat> {
    const pat = await this.repository.lock(tx, userId, id);
    if (!pat) throw authError('PAT_NOT_FOUND');
    return pat;
  }

  private change<T>(caller: Principal, work: (tx: Transaction) => Promise<T>): Promise<T> {
    return this.transactions.run(scopeOf(caller), work);
  }

  private async record(
    tx: Transaction,
    actor: Principal,
    type: AuditEventType,
    details: Record<string, unknown>,
    userId = actor.id,
  ): Promise<void> {
    await this.audit.record(tx, { type, tenantId: actor.tenantId, userId, actor: actorOf(actor), details });
  }
}

function scopeOf({ id, tenantId }: Principal): { userId: string; tenantId: string | null } {
  return { userId: id, tenantId };
}

/** Rights grow in an open tenant only; to take them away is always possible. */
function widening(caller: Principal): TenantPrincipal {
  const { tenantId } = caller;
  if (tenantId === null) throw authError('PERMISSION_DENIED', { detail: 'A token is bound to a tenant, and the account belongs to none.' });
  if (caller.tenantFrozen) throw authError('TENANT_FROZEN');
  return { ...caller, tenantId };
}

function invalid(errors: { path: string; message: string }[]): Error {
  return platformError('VALIDATION_FAILED', { errors });
}
