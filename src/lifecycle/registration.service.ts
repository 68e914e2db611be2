import { Inject, Injectable } from '@nestjs/common';
import type { TenantPrincipal } from '../access/principal.js';
import { actorOf } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { credentialsError } from '../credentials/credentials.errors.js';
import { CredentialsService } from '../credentials/credentials.service.js';
import { DeviceSecretsService } from '../device-secrets/device-secrets.service.js';
import type { DeviceRecord } from '../devices/device.js';
import { DevicesService } from '../devices/devices.service.js';
import { CONFIG, type Config } from '../platform/config/config.js';
import { Transactions, type Transaction } from '../platform/database/transactions.js';
import type { RegisterDeviceRequest, RequestedKind } from './lifecycle.dto.js';

export interface Registration {
  readonly device: DeviceRecord;
  readonly clientSecret?: string;
  readonly accessToken?: string;
  readonly hmacSecret?: string;
  readonly topics: { readonly publish: readonly string[]; readonly subscribe: readonly string[] };
}

const DEFAULT_KINDS: readonly RequestedKind[] = ['secret', 'token'];
/** Kinds whose rooms are not in this release: refused by name rather than left out in silence. */
const UNAVAILABLE: readonly RequestedKind[] = ['certificate'];

/** Birth of a device: record, groups, credentials and trace in one transaction. */
@Injectable()
export class RegistrationService {
  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly transactions: Transactions,
    private readonly devices: DevicesService,
    private readonly credentials: CredentialsService,
    private readonly deviceSecrets: DeviceSecretsService,
    private readonly audit: AuditService,
  ) {}

  async register(me: TenantPrincipal, request: RegisterDeviceRequest): Promise<Registration> {
    const [registration] = await this.registerAll(me, [request]);
    if (registration === undefined) throw new Error('one device was to be registered');
    return registration;
  }

  /** Several in one transaction and in as few statements as one: all of them, or it throws what the first bad one deserves. */
  async registerAll(me: TenantPrincipal, requests: readonly RegisterDeviceRequest[]): Promise<Registration[]> {
    for (const { credentials = [] } of requests) refuseUnavailable(credentials);
    return this.transactions.run({ tenantId: me.tenantId }, (tx) => this.registerInside(tx, me, requests));
  }

  /** Where and how to connect. */
  connectHints({ device, topics }: Registration): {
    host: string;
    ports: Record<string, number>;
    clientId: string;
    username: string;
    topics: { publish: string[]; subscribe: string[] };
  } {
    const { mqtt } = this.config;
    return {
      host: mqtt.publicHost,
      ports: mqtt.url === undefined ? { mqtt: mqtt.port } : { ...mqtt.external },
      clientId: device.id,
      username: device.id,
      topics: { publish: [...topics.publish], subscribe: [...topics.subscribe] },
    };
  }

  private async registerInside(tx: Transaction, me: TenantPrincipal, requests: readonly RegisterDeviceRequest[]): Promise<Registration[]> {
    const records = requests.map(({ credentials: _, ...record }) => ({ ...record, status: record.status ?? 'ACTIVE' }));
    const created = await this.devices.createAll(tx, records);
    const newborns = created.map(({ facts }, index) => ({ facts, kinds: requests[index]?.credentials ?? DEFAULT_KINDS }));
    const issued = await this.credentials.issueFirst(tx, me.tenantId, newborns);
    const signing = newborns.filter(({ kinds }) => kinds.includes('hmac')).map(({ facts }) => ({ id: facts.id, tenantId: me.tenantId }));
    const hmacSecrets = await this.deviceSecrets.issueFirst(tx, signing);
    await this.audit.recordAll(tx, created.map(({ device }, index) => ({
      type: 'DEVICE_REGISTERED',
      tenantId: me.tenantId,
      deviceId: device.id,
      userId: me.kind === 'user' || me.kind === 'pat' ? me.id : null,
      actor: actorOf(me),
      details: { slug: device.slug, status: device.status, credentials: [...(newborns[index]?.kinds ?? [])], groups: device.groups },
    })));
    return created.map(({ device, facts }, index) => {
      const { secret = null, accessToken = null } = issued[index] ?? {};
      const hmacSecret = hmacSecrets.get(device.id);
      return {
        device,
        ...(secret === null ? {} : { clientSecret: secret }),
        ...(accessToken === null ? {} : { accessToken }),
        ...(hmacSecret === undefined ? {} : { hmacSecret }),
        topics: facts.topics,
      };
    });
  }
}

function refuseUnavailable(kinds: readonly RequestedKind[]): void {
  const unavailable = kinds.filter((kind) => UNAVAILABLE.includes(kind));
  if (unavailable.length === 0) return;
  throw credentialsError('CREDENTIAL_KIND_UNAVAILABLE', { detail: `This release does not issue: ${unavailable.join(', ')}.` });
}
