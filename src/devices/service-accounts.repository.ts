import { Injectable } from '@nestjs/common';
import { isUniqueViolation } from '../platform/database/database-errors.js';
import type { Transaction } from '../platform/database/transactions.js';
import type { Keyset } from '../platform/http/paging.js';
import { devicesError } from './devices.errors.js';
import { ServiceAccountEntity } from './service-account.entity.js';
import type { ServiceAccountRecord, ServiceAccountStatus } from './service-account.js';
import { tenantOf } from './tenant-scope.js';

interface AccountRow {
  id: string;
  tenant_id: string;
  name: string;
  status: ServiceAccountStatus;
  created_at: Date;
  version: string;
  at: string;
}

const SELECT = `
  SELECT s.id, s.tenant_id, s.name, s.status, s.created_at,
    s.version + (SELECT t.version FROM tenants t WHERE t.id = s.tenant_id) AS version,
    to_char(s.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at
  FROM service_accounts s`;

/** The only file that knows how service accounts are kept. */
@Injectable()
export class ServiceAccountsRepository {
  async insert(tx: Transaction, account: { id: string; name: string }): Promise<void> {
    try {
      await tx.manager.getRepository(ServiceAccountEntity).insert({ ...account, status: 'ACTIVE', tenantId: tenantOf(tx) });
    } catch (error) {
      if (isUniqueViolation(error, 'service_accounts_name_key')) throw devicesError('SERVICE_ACCOUNT_NAME_TAKEN', { cause: error });
      throw error;
    }
  }

  async find(tx: Transaction, id: string): Promise<ServiceAccountRecord | null> {
    const [row] = await tx.query<AccountRow>(`${SELECT} WHERE s.tenant_id = $1 AND s.id = $2`, [tenantOf(tx), id]);
    return row ? recordOf(row) : null;
  }

  /** Locks the row until the transaction ends. @returns whether it exists. */
  async lock(tx: Transaction, id: string): Promise<boolean> {
    const sql = 'SELECT id FROM service_accounts WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE';
    const rows = await tx.query(sql, [tenantOf(tx), id]);
    return rows.length > 0;
  }

  async updateStatus(tx: Transaction, id: string, status: ServiceAccountStatus): Promise<void> {
    const sql = 'UPDATE service_accounts SET status = $3, version = version + 1 WHERE tenant_id = $1 AND id = $2';
    await tx.query(sql, [tenantOf(tx), id, status]);
  }

  async page(tx: Transaction, after: Keyset | undefined, limit: number): Promise<{ account: ServiceAccountRecord; key: Keyset }[]> {
    const rows = await tx.query<AccountRow>(
      `${SELECT} WHERE s.tenant_id = $1 AND ($3::timestamptz IS NULL OR (s.created_at, s.id) > ($3::timestamptz, $4::uuid))
        ORDER BY s.created_at, s.id LIMIT $2`,
      [tenantOf(tx), limit, after?.at ?? null, after?.id ?? null],
    );
    return rows.map((row) => ({ account: recordOf(row), key: { at: row.at, id: row.id } }));
  }
}

function recordOf(row: AccountRow): ServiceAccountRecord {
  const { id, name, status } = row;
  return { id, tenantId: row.tenant_id, name, status, createdAt: row.created_at, version: Number(row.version) };
}
