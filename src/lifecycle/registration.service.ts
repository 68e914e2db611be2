import { Inject, Injectable } from '@nestjs/common';
import type { TenantPrincipal } from '../access/principal.js';
import { actorOf } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { CredentialsService } from '../credentials/credentials.service.js';
import { DeviceSecretsService } from '../device-secrets/device-secrets.service.js';
import type { DeviceRecord } from '../devices/device.js';
import { DevicesService } from '../devices/devices.service.js';
import { CONFIG, type Config } from '../platform/config/config.js';
import { Transactions, type Transaction } from '../platform/database/transactions.js';
import type { SigningAuthority } from '../pki/authorities.service.js';
import { CertificatesService, type CertificateGiven, type CertificateOrder, type CertifiedKey } from '../pki/certificates.service.js';
import type { RegisterDeviceRequest, RequestedKind } from './lifecycle.dto.js';

export interface Registration {
  readonly device: DeviceRecord;
  readonly clientSecret?: string;
  readonly accessToken?: string;
  readonly certificate?: CertificateGiven;
  readonly hmacSecret?: string;
  readonly topics: { readonly publish: readonly string[]; readonly subscribe: readonly string[] };
}

interface PreparedCertificates {
  /** A device each; `null` gets no certificate. */
  readonly keys: readonly (CertifiedKey | null)[];
  readonly authority: SigningAuthority | null;
}

const DEFAULT_KINDS: readonly RequestedKind[] = ['secret', 'token'];

/** Birth of a device: record, groups, credentials and trace in one transaction. */
@Injectable()
export class RegistrationService {
  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly transactions: Transactions,
    private readonly devices: DevicesService,
    private readonly credentials: CredentialsService,
    private readonly certificates: CertificatesService,
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
    // Keys are made, and an authority at first need, before the transaction is opened.
    const keys = await Promise.all(requests.map(async ({ credentials }) => (credentials?.includes('certificate') ? this.certificates.keyOf({ generate: 'EC' }) : null)));
    const authority = keys.some((key) => key !== null) ? await this.certificates.authority(me.tenantId) : null;
    return this.transactions.run({ tenantId: me.tenantId }, (tx) => this.registerInside(tx, me, requests, { keys, authority }));
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
      ports: mqtt.url === undefined ? { mqtt: mqtt.port, mtls: mqtt.external.mtls, tls: mqtt.external.tls } : { ...mqtt.external },
      clientId: device.id,
      username: device.id,
      topics: { publish: [...topics.publish], subscribe: [...topics.subscribe] },
    };
  }

  private async registerInside(
    tx: Transaction,
    me: TenantPrincipal,
    requests: readonly RegisterDeviceRequest[],
    prepared: PreparedCertificates,
  ): Promise<Registration[]> {
    const records = requests.map(({ credentials: _, ...record }) => ({ ...record, status: record.status ?? 'ACTIVE' }));
    const created = await this.devices.createAll(tx, records);
    const newborns = created.map(({ facts }, index) => ({ facts, kinds: requests[index]?.credentials ?? DEFAULT_KINDS }));
    const issued = await this.credentials.issueFirst(tx, me.tenantId, newborns);
    const certificates = await this.certify(tx, created.map(({ device }) => device), prepared);
    const signing = newborns.filter(({ kinds }) => kinds.includes('hmac')).map(({ facts }) => ({ id: facts.id, tenantId: me.tenantId }));
    const hmacSecrets = await this.deviceSecrets.issueFirst(tx, signing);
    await this.audit.recordAll(tx, created.map(({ device }, index) => ({
      type: 'DEVICE_REGISTERED',
      tenantId: me.tenantId,
      deviceId: device.id,
      userId: me.kind === 'user' || me.kind === 'pat' ? me.id : null,
      actor: actorOf(me),
      details: { slug: device.slug, status: device.status, credentials: [...(newborns[index]?.kinds ?? [])], groups: device.groups, ...(device.clockless ? { clockless: true } : {}) },
    })));
    return created.map(({ device, facts }, index) => {
      const { secret = null, accessToken = null } = issued[index] ?? {};
      const certificate = certificates.get(device.id);
      const hmacSecret = hmacSecrets.get(device.id);
      return {
        device,
        ...(secret === null ? {} : { clientSecret: secret }),
        ...(accessToken === null ? {} : { accessToken }),
        ...(certificate ? { certificate } : {}),
        ...(hmacSecret === undefined ? {} : { hmacSecret }),
        topics: facts.topics,
      };
    });
  }

  private async certify(tx: Transaction, devices: readonly DeviceRecord[], { keys, authority }: PreparedCertificates): Promise<Map<string, CertificateGiven>> {
    if (authority === null) return new Map();
    const orders = devices.flatMap(({ id, tenantId }, index): CertificateOrder[] => {
      const key = keys[index] ?? null;
      return key === null ? [] : [{ owner: { kind: 'device', id, tenantId }, key }];
    });
    const given = await this.certificates.issueAll(tx, authority, orders);
    return new Map(given.map((certificate, index) => {
      if (certificate instanceof Error) throw certificate;
      return [(orders[index] as CertificateOrder).owner.id, certificate];
    }));
  }
}
