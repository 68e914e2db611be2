import { randomUUID } from 'node:crypto';
import type { TestingModule } from '@nestjs/testing';
import type pg from 'pg';
import { type Permission, ROLE_BUNDLES } from '../../src/access/permission.js';
import type { TenantPrincipal } from '../../src/access/principal.js';
import { AuditService } from '../../src/audit/audit.service.js';
import type { DeviceRecord } from '../../src/devices/device.js';
import { DevicesGate } from '../../src/devices/devices.gate.js';
import { DevicesModule } from '../../src/devices/devices.module.js';
import { DevicesService, type NewDevice } from '../../src/devices/devices.service.js';
import { GroupEntity } from '../../src/devices/group.entity.js';
import { GroupsService } from '../../src/devices/groups.service.js';
import { CredentialHoldings } from '../../src/devices/holdings.js';
import { Narrowing, NarrowingHub, type Subject } from '../../src/devices/narrowing.js';
import { RulesService } from '../../src/devices/rules.service.js';
import type { ServiceAccountRecord } from '../../src/devices/service-account.js';
import { ServiceAccountEntity } from '../../src/devices/service-account.entity.js';
import { ServiceAccountsService } from '../../src/devices/service-accounts.service.js';
import { TopicRuleEntity } from '../../src/devices/topic-rule.entity.js';
import { Transactions, type Transaction } from '../../src/platform/database/transactions.js';
import { administer, cloneDatabase, ROLE_PREFIX, type TestDatabase } from './database.js';
import { openRooms, type RoomOptions } from './room.js';

/** Remembers who was narrowed and why. */
export class NarrowingRecorder extends Narrowing {
  readonly calls: { subjects: readonly Subject[]; why: string }[] = [];
  commits = 0;

  ordered(_: Transaction, subjects: readonly Subject[], why: string): Promise<void> {
    this.calls.push({ subjects, why });
    return Promise.resolve();
  }

  committed(): void {
    this.commits += 1;
  }
}

/** The registry over a private database with two tenants. */
export class Registry {
  readonly narrowing = new NarrowingRecorder();

  private constructor(
    readonly module: TestingModule,
    readonly database: TestDatabase,
    readonly tenantA: string,
    readonly tenantB: string,
  ) {
    module.get(NarrowingHub).register(this.narrowing);
  }

  static async open(options: Partial<RoomOptions> = {}): Promise<Registry> {
    const database = options.database ?? (await cloneDatabase());
    const module = await openRooms({
      database,
      imports: [DevicesModule],
      entities: [GroupEntity, TopicRuleEntity, ServiceAccountEntity],
      ...options,
    });
    const [tenantA = '', tenantB = ''] = await tenantsOf(database);
    return new Registry(module, database, tenantA, tenantB);
  }

  get devices(): DevicesService {
    return this.module.get(DevicesService);
  }

  get groups(): GroupsService {
    return this.module.get(GroupsService);
  }

  get rules(): RulesService {
    return this.module.get(RulesService);
  }

  get accounts(): ServiceAccountsService {
    return this.module.get(ServiceAccountsService);
  }

  get gate(): DevicesGate {
    return this.module.get(DevicesGate);
  }

  get holdings(): CredentialHoldings {
    return this.module.get(CredentialHoldings);
  }

  get auditing(): AuditService {
    return this.module.get(AuditService);
  }

  /** Runs `work` in a transaction of the tenant. */
  in<T>(tenantId: string, work: (tx: Transaction) => Promise<T>): Promise<T> {
    return this.module.get(Transactions).run({ tenantId }, work);
  }

  device(overrides: Partial<NewDevice> & { tenantId?: string } = {}): Promise<DeviceRecord> {
    const { tenantId = this.tenantA, ...device } = overrides;
    return this.in(tenantId, (tx) => this.devices.create(tx, { slug: `d-${randomUUID()}`, status: 'ACTIVE', ...device }));
  }

  async group(tenantId = this.tenantA): Promise<string> {
    const group = await this.groups.create(admin(tenantId), { slug: `g-${randomUUID()}` });
    return group.id;
  }

  account(name = `a-${randomUUID()}`, tenantId = this.tenantA): Promise<ServiceAccountRecord> {
    return this.in(tenantId, (tx) => this.accounts.create(tx, { name }));
  }

  /** As the owner of the tables: past row security. */
  sql<T extends pg.QueryResultRow>(text: string, params: unknown[] = []): Promise<T[]> {
    return asMigrator<T>(this.database, text, params);
  }

  async close(): Promise<void> {
    await this.module.close();
    await this.database.drop();
  }
}

/** An ADMIN of the tenant. */
export function admin(tenantId: string, extra: readonly Permission[] = []): TenantPrincipal {
  return {
    kind: 'user',
    id: randomUUID(),
    tenantId,
    role: 'ADMIN',
    platformRole: null,
    permissions: new Set([...ROLE_BUNDLES.ADMIN, ...extra]),
    sessionId: randomUUID(),
    credential: 'bearer',
  };
}

export async function asMigrator<T extends pg.QueryResultRow>(database: TestDatabase, text: string, params: unknown[] = []): Promise<T[]> {
  return as<T>(database, 'migrator', text, params);
}

/** One statement as one of the database roles, in a tenant if one is named. */
export async function as<T extends pg.QueryResultRow>(
  database: TestDatabase,
  role: 'migrator' | 'app' | 'gate' | 'reader',
  text: string,
  params: unknown[] = [],
  tenantId = '',
): Promise<T[]> {
  let rows: T[] = [];
  await administer(database.url, async (client) => {
    await client.query(`SET ROLE "${ROLE_PREFIX}_${role}"`);
    await client.query(`SELECT set_config('app.tenant', $1, false)`, [tenantId]);
    ({ rows } = await client.query<T>(text, params));
  });
  return rows;
}

/** `default` and a second tenant. */
async function tenantsOf(database: TestDatabase): Promise<string[]> {
  await asMigrator(database, `INSERT INTO tenants (slug, name) VALUES ('other', 'Other') ON CONFLICT DO NOTHING`);
  const rows = await asMigrator<{ id: string }>(database, `SELECT id FROM tenants WHERE slug IN ('default', 'other') ORDER BY slug`);
  return rows.map(({ id }) => id);
}

/** The code of the error that a promise ends in. */
export async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
  return 'NO_ERROR';
}
