import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { TenantPrincipal } from '../access/principal.js';
import { Transactions, type Transaction } from '../platform/database/transactions.js';
import { DEFAULT_PAGE, decodeCursor, pageOf, type Page } from '../platform/http/paging.js';
import { devicesError } from './devices.errors.js';
import { FactsChanges } from './facts-changes.js';
import type { PageRequest } from './groups.service.js';
import type { ServiceAccountRecord, ServiceAccountStatus } from './service-account.js';
import { ServiceAccountsRepository } from './service-accounts.repository.js';

export type { ServiceAccountRecord };

/** The registry of service accounts, by the same division as `DevicesService`: with a transaction, the caller audits. */
@Injectable()
export class ServiceAccountsService {
  constructor(
    private readonly transactions: Transactions,
    private readonly accounts: ServiceAccountsRepository,
    private readonly changes: FactsChanges,
  ) {}

  /** @throws SERVICE_ACCOUNT_NAME_TAKEN */
  async create(tx: Transaction, { name }: { name: string }): Promise<ServiceAccountRecord> {
    const id = randomUUID();
    await this.accounts.insert(tx, { id, name });
    return this.noted(tx, id);
  }

  find(tx: Transaction, id: string): Promise<ServiceAccountRecord | null> {
    return this.accounts.find(tx, id);
  }

  /** @throws SERVICE_ACCOUNT_NOT_FOUND */
  async get(tx: Transaction, id: string): Promise<ServiceAccountRecord> {
    const account = await this.accounts.find(tx, id);
    if (account === null) throw devicesError('SERVICE_ACCOUNT_NOT_FOUND');
    return account;
  }

  /** As `get`, and nobody else changes the account until the transaction ends. */
  async lock(tx: Transaction, id: string): Promise<ServiceAccountRecord> {
    await this.accounts.lock(tx, id);
    return this.get(tx, id);
  }

  /** Does nothing if it is in that state already. */
  async changeStatus(tx: Transaction, account: ServiceAccountRecord, to: ServiceAccountStatus): Promise<ServiceAccountRecord> {
    if (account.status === to) return account;
    await this.accounts.updateStatus(tx, account.id, to);
    return this.noted(tx, account.id);
  }

  /** For changes of other rooms that the gate must see at once. @returns the new version of the facts. */
  async touch(tx: Transaction, id: string): Promise<number> {
    const [subject] = await this.changes.touch(tx, 'service', [id]);
    if (!subject) throw devicesError('SERVICE_ACCOUNT_NOT_FOUND');
    return subject.version;
  }

  show(me: TenantPrincipal, id: string): Promise<ServiceAccountRecord> {
    return this.transactions.run({ tenantId: me.tenantId }, (tx) => this.get(tx, id));
  }

  /** One page in order of creation. @throws CURSOR_INVALID */
  async list(me: TenantPrincipal, { limit = DEFAULT_PAGE, cursor }: PageRequest): Promise<Page<ServiceAccountRecord>> {
    const after = decodeCursor(cursor);
    return this.transactions.run({ tenantId: me.tenantId }, async (tx) =>
      pageOf(await this.accounts.page(tx, after, limit + 1), limit, ({ key }) => key, ({ account }) => account));
  }

  private async noted(tx: Transaction, id: string): Promise<ServiceAccountRecord> {
    const account = await this.get(tx, id);
    this.changes.changed(tx, 'service', [account]);
    return account;
  }
}
