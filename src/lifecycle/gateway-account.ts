import { randomBytes } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { SYSTEM_ACTOR } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { CredentialsService } from '../credentials/credentials.service.js';
import { RulesService } from '../devices/rules.service.js';
import { ServiceAccountsService } from '../devices/service-accounts.service.js';
import type { TopicRule } from '../devices/topic-rule.js';
import { CONFIG, type Config } from '../platform/config/config.js';
import { DataKeys } from '../platform/crypto/data-keys.js';
import { Transactions, type Transaction } from '../platform/database/transactions.js';
import { TenantsService } from '../users/tenants.service.js';

/** How the message gateway connects. */
export interface GatewayLogin {
  /** `svc:<uuid>`: username, and beginning of the client ids. */
  readonly username: string;
  readonly password: string;
  /** Name of the shared subscription, random per installation. */
  readonly shareGroup: string;
}

interface GatewayRow {
  readonly service_account_id: string;
  readonly secret_sealed: Buffer;
  readonly share_group: string;
}

/** Instances that start at once meet at this advisory lock. */
const GATEWAY_LOCK = 0x67617465;
const NAME = 'portcullis-gateway';

/** The gateway's own service account, made at the first start and shared by all instances. */
@Injectable()
export class GatewayAccount {
  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly transactions: Transactions,
    private readonly tenants: TenantsService,
    private readonly serviceAccounts: ServiceAccountsService,
    private readonly rules: RulesService,
    private readonly credentials: CredentialsService,
    private readonly keys: DataKeys,
    private readonly audit: AuditService,
  ) {}

  async ensure(): Promise<GatewayLogin> {
    const tenantId = await this.tenants.defaultTenantId();
    return this.transactions.run({ tenantId }, async (tx) => {
      await tx.query('SELECT pg_advisory_xact_lock($1)', [GATEWAY_LOCK]);
      const [row] = await tx.query<GatewayRow>('SELECT service_account_id, secret_sealed, share_group FROM message_gateway');
      const login = row === undefined ? await this.create(tx, tenantId) : await this.open(tenantId, row);
      const id = login.username.slice('svc:'.length);
      for (const rule of gatewayRules(this.config.mqtt.topicPrefix)) await this.rules.grant(tx, { kind: 'service', id }, rule);
      return login;
    });
  }

  private async open(tenantId: string, row: GatewayRow): Promise<GatewayLogin> {
    const password = await this.keys.open(sealContext(tenantId, row.service_account_id), row.secret_sealed);
    return { username: `svc:${row.service_account_id}`, password: password.toString('utf8'), shareGroup: row.share_group };
  }

  private async create(tx: Transaction, tenantId: string): Promise<GatewayLogin> {
    // A name that somebody took by hand is theirs.
    const suffix = randomBytes(4).toString('hex');
    const { id } = await this.serviceAccounts.create(tx, { name: `${NAME}-${suffix}` });
    const { secret } = await this.credentials.issueSecret(tx, { kind: 'service', id, tenantId });
    const shareGroup = `portcullis-${randomBytes(8).toString('hex')}`;
    const sealed = await this.keys.seal(sealContext(tenantId, id), Buffer.from(secret, 'utf8'));
    await tx.query('INSERT INTO message_gateway (tenant_id, service_account_id, secret_sealed, share_group) VALUES ($1, $2, $3, $4)',
      [tenantId, id, sealed, shareGroup]);
    await this.audit.record(tx, {
      type: 'SERVICE_ACCOUNT_CREATED',
      tenantId,
      actor: SYSTEM_ACTOR,
      details: { serviceAccountId: id, name: `${NAME}-${suffix}`, for: 'the message gateway' },
    });
    return { username: `svc:${id}`, password: secret, shareGroup };
  }
}

function sealContext(tenantId: string, row: string) {
  return { purpose: 'message-gateway', table: 'message_gateway', tenant: tenantId, row, version: 1 } as const;
}

function gatewayRules(prefix: string): TopicRule[] {
  return [
    ...['telemetry', 'status', 'ack', 'events/#'].map((channel): TopicRule => ({ action: 'subscribe', topic: `${prefix}/+/${channel}` })),
    { action: 'publish', topic: 'verified/#' },
    { action: 'publish', topic: `${prefix}/+/commands` },
    { action: 'publish', topic: `${prefix}/+/config/challenge` },
  ];
}
