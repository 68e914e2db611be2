import { randomBytes } from 'node:crypto';
import { AuditModule } from '../../src/audit/audit.module.js';
import { CredentialsGate, type Proof, type ProofVerdict } from '../../src/credentials/credentials.gate.js';
import { CredentialsModule } from '../../src/credentials/credentials.module.js';
import { CredentialsService } from '../../src/credentials/credentials.service.js';
import { SigningKeysService } from '../../src/credentials/signing-keys.service.js';
import { DevicesGate } from '../../src/devices/devices.gate.js';
import { DevicesModule } from '../../src/devices/devices.module.js';
import { DevicesService } from '../../src/devices/devices.service.js';
import type { Facts } from '../../src/devices/facts.js';
import { GroupEntity } from '../../src/devices/group.entity.js';
import { ServiceAccountEntity } from '../../src/devices/service-account.entity.js';
import { ServiceAccountsService } from '../../src/devices/service-accounts.service.js';
import { TopicRuleEntity } from '../../src/devices/topic-rule.entity.js';
import type { Config } from '../../src/platform/config/config.js';
import { Pools } from '../../src/platform/database/pools.js';
import { Transactions, type Transaction } from '../../src/platform/database/transactions.js';
import type { KeyValueStore } from '../../src/platform/redis/key-value.js';
import { logger } from '../../src/platform/telemetry/logger.js';
import { FakeClock } from '../fakes/fake-clock.js';
import { administer, type TestDatabase } from './database.js';
import { openRooms } from './room.js';

export interface Owner {
  readonly kind: 'device' | 'service';
  readonly id: string;
  readonly tenantId: string;
}

export interface SceneOptions {
  readonly database: TestDatabase;
  readonly clock?: FakeClock;
  readonly store?: KeyValueStore;
  readonly env?: Record<string, string>;
}

type Rooms = Awaited<ReturnType<typeof openRooms>>;

/** One master key for every scene, so that two scenes on one database are two instances of one installation. */
const MASTER_KEY = `test:${randomBytes(32).toString('base64')}`;

/** The rooms below and around credentials over a real database, acting in the tenant `default`. */
export class CredentialsScene {
  readonly credentials: CredentialsService;
  readonly gate: CredentialsGate;
  readonly devices: DevicesService;
  readonly serviceAccounts: ServiceAccountsService;
  readonly devicesGate: DevicesGate;
  readonly signingKeys: SigningKeysService;
  readonly pools: Pools;
  readonly config: Config;
  private slugs = 0;

  private constructor(
    readonly module: Rooms,
    readonly database: TestDatabase,
    readonly clock: FakeClock,
    readonly tenantId: string,
  ) {
    this.config = module.config;
    this.credentials = module.get(CredentialsService);
    this.gate = module.get(CredentialsGate);
    this.devices = module.get(DevicesService);
    this.serviceAccounts = module.get(ServiceAccountsService);
    this.devicesGate = module.get(DevicesGate);
    this.signingKeys = module.get(SigningKeysService);
    this.pools = module.get(Pools);
  }

  static async open({ database, clock = new FakeClock(Date.now()), store, env = {} }: SceneOptions): Promise<CredentialsScene> {
    logger.level = process.env['LOG_LEVEL'] ?? 'silent';
    const module = await openRooms({
      database,
      clock,
      store,
      imports: [AuditModule, DevicesModule, CredentialsModule],
      entities: [GroupEntity, ServiceAccountEntity, TopicRuleEntity],
      env: { SECRETS_MASTER_KEYS: MASTER_KEY, ...env },
    });
    let tenantId = '';
    await administer(database.url, async (client) => {
      const { rows } = await client.query<{ id: string }>(`SELECT id FROM tenants WHERE slug = 'default'`);
      tenantId = rows[0]?.id ?? '';
    });
    return new CredentialsScene(module, database, clock, tenantId);
  }

  close(): Promise<void> {
    return this.module.close();
  }

  run<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    return this.module.get(Transactions).run({ tenantId: this.tenantId }, work);
  }

  async device(status: 'ACTIVE' | 'PENDING' = 'ACTIVE', change: { allowedProofs?: ('secret' | 'token')[] } = {}): Promise<Owner> {
    this.slugs += 1;
    const { id } = await this.run((tx) => this.devices.create(tx, { slug: `pump-${this.slugs}-${randomBytes(4).toString('hex')}`, status, ...change }));
    return { kind: 'device', id, tenantId: this.tenantId };
  }

  async service(): Promise<Owner> {
    const { id } = await this.run((tx) => this.serviceAccounts.create(tx, { name: `bridge-${randomBytes(4).toString('hex')}` }));
    return { kind: 'service', id, tenantId: this.tenantId };
  }

  secretOf(owner: Owner): Promise<{ credentialId: string; secret: string }> {
    return this.run((tx) => this.credentials.issueSecret(tx, owner));
  }

  tokenOf(owner: Owner, ttl?: number, parentId?: string): Promise<{ access_token: string; credentialId: string; expires_in: number }> {
    return this.run((tx) => this.credentials.issueToken(tx, owner, ttl, parentId));
  }

  async facts({ kind, id }: Owner): Promise<Facts> {
    const { facts } = await this.devicesGate.facts(kind, id);
    if (facts === null) throw new Error('no such subject');
    return facts;
  }

  /** What the door would be told now. */
  async check(proof: Proof, owner: Owner): Promise<ProofVerdict> {
    return this.gate.check(proof, await this.facts(owner), this.clock.now());
  }

  checkSecret(secret: string, owner: Owner): Promise<ProofVerdict> {
    return this.check({ kind: 'secret', secret }, owner);
  }

  checkToken(token: string, owner: Owner): Promise<ProofVerdict> {
    return this.check({ kind: 'token', token }, owner);
  }

  /** Rows, read by the owner of the database, whom row security does not bind. */
  async rows<T extends object>(sql: string, params: unknown[] = []): Promise<T[]> {
    let rows: T[] = [];
    await administer(this.database.url, async (client) => {
      rows = (await client.query<T>(sql, params)).rows;
    });
    return rows;
  }
}
