import { Inject, Injectable } from '@nestjs/common';
import type { TenantPrincipal } from '../access/principal.js';
import { actorOf } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { credentialsError } from '../credentials/credentials.errors.js';
import { CredentialsService } from '../credentials/credentials.service.js';
import type { DeviceRecord } from '../devices/device.js';
import { DevicesService } from '../devices/devices.service.js';
import { CONFIG, type Config } from '../platform/config/config.js';
import { Transactions, type Transaction } from '../platform/database/transactions.js';
import type { RegisterDeviceRequest, RequestedKind } from './lifecycle.dto.js';

export interface Registration {
  readonly device: DeviceRecord;
  readonly clientSecret?: string;
  readonly accessToken?: string;
  readonly topics: { readonly publish: readonly string[]; readonly subscribe: readonly string[] };
}

const DEFAULT_KINDS: readonly RequestedKind[] = ['secret', 'token'];
/** Kinds whose rooms are not in this release: refused by name rather than left out in silence. */
const UNAVAILABLE: readonly RequestedKind[] = ['hmac', 'certificate'];

/** Birth of a device: record, groups, credentials and trace in one transaction. */
@Injectable()
export class RegistrationService {
  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly transactions: Transactions,
    private readonly devices: DevicesService,
    private readonly credentials: CredentialsService,
    private readonly audit: AuditService,
  ) {}

  async register(me: TenantPrincipal, request: RegisterDeviceRequest): Promise<Registration> {
    const kinds = request.credentials ?? DEFAULT_KINDS;
    const unavailable = kinds.filter((kind) => UNAVAILABLE.includes(kind));
    if (unavailable.length > 0) {
      throw credentialsError('CREDENTIAL_KIND_UNAVAILABLE', { detail: `This release does not issue: ${unavailable.join(', ')}.` });
    }
    return this.transactions.run({ tenantId: me.tenantId }, (tx) => this.registerInside(tx, me, request, kinds));
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

  private async registerInside(
    tx: Transaction,
    me: TenantPrincipal,
    request: RegisterDeviceRequest,
    kinds: readonly RequestedKind[],
  ): Promise<Registration> {
    const { credentials: _, ...record } = request;
    const device = await this.devices.create(tx, { ...record, status: request.status ?? 'ACTIVE' });
    const owner = { kind: 'device', id: device.id, tenantId: me.tenantId } as const;
    const secret = kinds.includes('secret') ? await this.credentials.issueSecret(tx, owner) : undefined;
    // Proven by nobody but the caller, so the token has no parent: it does not die with the secret.
    const token = kinds.includes('token') ? await this.credentials.issueToken(tx, owner) : undefined;
    const facts = await this.devices.factsInside(tx, 'device', device.id);
    await this.audit.record(tx, {
      type: 'DEVICE_REGISTERED',
      tenantId: me.tenantId,
      deviceId: device.id,
      userId: me.kind === 'user' || me.kind === 'pat' ? me.id : null,
      actor: actorOf(me),
      details: { slug: device.slug, status: device.status, credentials: [...kinds], groups: device.groups },
    });
    return {
      device,
      ...(secret ? { clientSecret: secret.secret } : {}),
      ...(token ? { accessToken: token.access_token } : {}),
      topics: facts?.topics ?? { publish: [], subscribe: [] },
    };
  }
}
