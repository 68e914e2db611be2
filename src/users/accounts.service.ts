import { Injectable } from '@nestjs/common';
import type { Role } from '../access/permission.js';
import { Pools } from '../platform/database/pools.js';
import type { Transaction } from '../platform/database/transactions.js';
import type { Account, Belonging, NewAccount } from './user.js';
import { UsersRepository } from './users.repository.js';

/** Accounts, for the room that logs people in. Every call takes the caller's transaction; its scope decides what is visible. */
@Injectable()
export class AccountsService {
  constructor(
    private readonly repository: UsersRepository,
    private readonly pools: Pools,
  ) {}

  /** How many accounts the installation has. */
  async count(): Promise<number> {
    const { rows } = await this.pools.reader.query<{ count: string }>('SELECT count(id) AS count FROM users');
    return Number(rows[0]?.count ?? 0);
  }

  /** @param key folded by `emailKey`; the scope must hold it. */
  findByEmail(tx: Transaction, key: string): Promise<Account | null> {
    return this.repository.accountByEmail(tx, key);
  }

  find(tx: Transaction, id: string): Promise<Account | null> {
    return this.repository.account(tx, id, false);
  }

  /** As `find`, and nobody changes the account until the transaction ends. */
  lock(tx: Transaction, id: string): Promise<Account | null> {
    return this.repository.account(tx, id, true);
  }

  /** Tenants in which the account may act, oldest membership first. */
  belongings(tx: Transaction, userId: string): Promise<Belonging[]> {
    return this.repository.belongings(tx, userId);
  }

  /** The active membership in one tenant; nobody disables it until the transaction ends. */
  async lockBelonging(tx: Transaction, userId: string, tenantId: string): Promise<Belonging | null> {
    return (await this.repository.belongings(tx, userId, tenantId))[0] ?? null;
  }

  /** Whether the account is a member of the transaction's tenant, disabled or not. */
  async isMember(tx: Transaction, userId: string): Promise<boolean> {
    return (await this.repository.member(tx, userId)) !== null;
  }

  /** Answers false when an account with this address exists; the transaction goes on. The scope must hold id and e-mail. */
  create(tx: Transaction, account: NewAccount): Promise<boolean> {
    return this.repository.insertAccount(tx, account);
  }

  /** Answers false for a member. The scope must hold the tenant. */
  join(tx: Transaction, tenantId: string, userId: string, role: Role): Promise<boolean> {
    return this.repository.insertMembership(tx, tenantId, userId, role);
  }

  /** Answers false when another account has the address. The scope must hold account and address. */
  setEmail(tx: Transaction, id: string, email: string): Promise<boolean> {
    return this.repository.setEmail(tx, id, email);
  }

  /** The scope must hold the account. */
  setPasswordHash(tx: Transaction, id: string, passwordHash: string): Promise<void> {
    return this.repository.setPasswordHash(tx, id, passwordHash);
  }
}
