import { Inject, Injectable } from '@nestjs/common';
import type { ClientBase, QueryResultRow } from 'pg';
import { DataSource, type EntityManager } from 'typeorm';
import { requestContext } from '../context/request-context.js';
import { logger } from '../telemetry/logger.js';
import { ReaderSource } from './data-source.js';

/** Who the transaction acts for. Row security shows nothing to a transaction without one. */
export interface Scope {
  readonly tenantId?: string | null;
  /** Opens the rows that belong to this account: its memberships and sessions. */
  readonly userId?: string | null;
  /** Opens the one account with this (folded) e-mail, for login. */
  readonly email?: string | null;
}

/** SQL that never changes, under a name that is the application's alone. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

/** An open transaction. Repositories take it as their first argument: there is no other way to the tables. */
export interface Transaction {
  readonly manager: EntityManager;
  readonly scope: Scope;
  /** Runs parameterised SQL; answers the rows (of `RETURNING` too). */
  query<T>(sql: string, params?: readonly unknown[]): Promise<T[]>;
  /** As `query`, of a statement that each connection has Postgres read and plan once: for what is asked again and again. */
  prepared<T extends QueryResultRow>(statement: Statement, params: readonly unknown[]): Promise<T[]>;
  /** Runs as the last thing inside the transaction, in order; a failure there rolls all of it back. */
  beforeCommit(work: () => Promise<void>): void;
  /** Runs after a successful commit, in order; a failure there is logged and undoes nothing. */
  afterCommit(work: () => void | Promise<void>): void;
}

const SET_SCOPE: Statement = {
  name: 'transaction-scope',
  text: `SELECT set_config('app.tenant', $1, true), set_config('app.user', $2, true), set_config('app.email', $3, true)`,
};

/**
 * Opens transactions. The scope is set inside the transaction (`set_config(…, true)`), so it ends with it and cannot leak to
 * the next user of the pooled connection. A request that only reads (`readOnly`) gets them under the reader role, which sees the scope's
 * tenant alone and may write nothing, whatever the code asks for.
 */
@Injectable()
export class Transactions {
  constructor(
    @Inject(DataSource) private readonly source: DataSource,
    private readonly readers: ReaderSource,
  ) {}

  async run<T>(scope: Scope, work: (tx: Transaction) => Promise<T>): Promise<T> {
    const last: (() => Promise<void>)[] = [];
    const afterwards: (() => void | Promise<void>)[] = [];
    const readsOnly = requestContext()?.readsOnly === true;
    const source = readsOnly ? await this.readers.get() : this.source;
    const result = await source.transaction(async (manager) => {
      if (readsOnly) await manager.query('SET TRANSACTION READ ONLY');
      const client = await clientOf(manager);
      await prepared(client, SET_SCOPE, [scope.tenantId ?? '', scope.userId ?? '', scope.email ?? '']);
      const answer = await work({
        manager,
        scope,
        query: <R>(sql: string, params: readonly unknown[] = []) => rowsOf<R>(manager, sql, params),
        prepared: (statement, params) => prepared(client, statement, params),
        beforeCommit: (task) => void last.push(task),
        afterCommit: (task) => void afterwards.push(task),
      });
      for (const task of last) await task();
      return answer;
    });
    for (const task of afterwards) {
      try {
        await task();
      } catch (error) {
        logger.error({ err: error }, 'a task after commit failed');
      }
    }
    return result;
  }
}

/** The connection of the transaction: TypeORM has no way to name a statement. */
async function clientOf({ queryRunner }: EntityManager): Promise<ClientBase> {
  if (queryRunner === undefined) throw new Error('there is no transaction');
  return (await queryRunner.connect()) as ClientBase;
}

async function prepared<T extends QueryResultRow>(client: ClientBase, { name, text }: Statement, params: readonly unknown[]): Promise<T[]> {
  return (await client.query<T>({ name, text, values: [...params] })).rows;
}

/** TypeORM answers `[rows, count]` for UPDATE and DELETE, and rows for everything else; callers only ever want rows. */
async function rowsOf<R>(manager: EntityManager, sql: string, params: readonly unknown[]): Promise<R[]> {
  const answer: unknown = await manager.query(sql, [...params]);
  if (Array.isArray(answer) && answer.length === 2 && Array.isArray(answer[0]) && typeof answer[1] === 'number') {
    return answer[0] as R[];
  }
  return answer as R[];
}
