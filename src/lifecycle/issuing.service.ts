import { Injectable } from '@nestjs/common';
import type { TenantPrincipal } from '../access/principal.js';
import { actorOf, type AuditEvent } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import type { DeviceStatus } from '../devices/device.js';
import { devicesError } from '../devices/devices.errors.js';
import { DevicesService } from '../devices/devices.service.js';
import { ServiceAccountsService } from '../devices/service-accounts.service.js';
import { requestContext } from '../platform/context/request-context.js';
import { isStoreUnavailable } from '../platform/database/database-errors.js';
import { Transactions, type Transaction } from '../platform/database/transactions.js';
import { lifetimeMs } from '../platform/http/fields.js';
import type { AppError } from '../platform/problem/app-error.js';
import { Together } from '../platform/work/together.js';
import type { CertificateRecord } from '../pki/certificate.js';
import { CertificatesService, type CertificateGiven, type CertificateOrder, type CertifiedKey, type KeyOrder } from '../pki/certificates.service.js';
import { pkiError } from '../pki/pki.errors.js';
import type { CertificateRequest } from './certification.dto.js';
import { lifecycleError } from './lifecycle.errors.js';

/** Certificates of one transaction: more would hold the event loop up, when they are stored, for longer than a question may wait. */
const MOST = 12;
/** One is with the thread that drafts while the other is with Postgres. */
const TRANSACTIONS = 2;
/** A second or two of work. */
const QUEUE = 1_000;
const ISSUING_STATES: readonly string[] = ['PENDING', 'ACTIVE'];

/** A request on its way into a transaction that it shares with others of its tenant. */
interface Asked {
  readonly me: TenantPrincipal;
  readonly owner: { readonly kind: 'device' | 'service'; readonly id: string };
  readonly request: CertificateRequest;
  /** Made beforehand, where it was not sent. */
  readonly made: CertifiedKey | null;
  readonly ip: string | null;
  readonly requestId: string | null;
}

/** What the transaction found of an owner. */
type Found = { readonly renews?: CertificateRecord } | AppError;

/**
 * Who may ask for a certificate: the room that signs does not know. Certificates that are asked for at once are stored together, by few
 * transactions, so that a fleet that comes for its certificates costs little and the broker's questions do not wait behind it.
 */
@Injectable()
export class IssuingService {
  private readonly together = new Together<Asked, CertificateGiven>({
    groupOf: ({ me, owner }) => `${owner.kind} ${me.tenantId}`,
    // Service accounts are few: each goes alone.
    nameOf: ({ owner }) => (owner.kind === 'device' ? owner.id : ''),
    work: (asked) => this.issueAll(asked),
    // Where Postgres was lost nobody is to blame, and it may have stored them all the same.
    blamesOne: (error) => !isStoreUnavailable(error),
    most: MOST,
    concurrent: TRANSACTIONS,
    queue: QUEUE,
    refusal: () => lifecycleError('CERT_ISSUING_BUSY', { headers: { 'Retry-After': '2' } }),
  });

  constructor(
    private readonly transactions: Transactions,
    private readonly devices: DevicesService,
    private readonly serviceAccounts: ServiceAccountsService,
    private readonly certificates: CertificatesService,
    private readonly audit: AuditService,
  ) {}

  /**
   * @throws DEVICE_NOT_FOUND, CERT_DEVICE_STATE, CERT_RENEWAL_NEEDS_CERTIFICATE, CERT_REQUEST_UNCLEAR, CERT_PROFILE_UNKNOWN, CERT_TTL_INVALID,
   * CSR_MALFORMED, CSR_SIGNATURE, KEY_WEAK, KEY_REUSED, CERT_ISSUING_BUSY
   */
  issue(me: TenantPrincipal, deviceId: string, request: CertificateRequest): Promise<CertificateGiven> {
    return this.ask(me, { kind: 'device', id: deviceId }, request);
  }

  /**
   * For a service account, of the profile `service`; there is no renewal by itself.
   * @throws SERVICE_ACCOUNT_NOT_FOUND, CERT_SERVICE_STATE, and of the request as `issue`
   */
  issueService(me: TenantPrincipal, id: string, request: CertificateRequest): Promise<CertificateGiven> {
    return this.ask(me, { kind: 'service', id }, request);
  }

  private async ask(me: TenantPrincipal, owner: Asked['owner'], request: CertificateRequest): Promise<CertificateGiven> {
    // A key takes long to make, so it is made before anything is locked, for an owner that may have it as things look; one that comes
    // with its request is judged under the lock at once.
    const made = request.generate === true ? await this.makeKey(me, owner, request) : null;
    const context = requestContext();
    return this.together.run({ me, owner, request, made, ip: context?.ip ?? null, requestId: context?.requestId ?? null });
  }

  private async makeKey(me: TenantPrincipal, owner: Asked['owner'], request: CertificateRequest): Promise<CertifiedKey> {
    const { tenantId } = me;
    await this.transactions.run({ tenantId }, async (tx) => {
      if (owner.kind === 'service') return void (await this.serviceAccounts.get(tx, owner.id));
      const { status } = await this.devices.get(tx, owner.id);
      orThrow(judge(me, status, me.kind === 'device' ? await this.certificates.live(tx, owner.id) : []));
    });
    const { order, ttlMs } = orThrow(orderOf(owner.kind, request));
    return this.certificates.keyOf(order, ttlMs);
  }

  /** One transaction of one tenant, for owners of one kind. */
  private async issueAll(asked: readonly Asked[]): Promise<(CertificateGiven | AppError)[]> {
    const [first] = asked;
    if (first === undefined) return [];
    const { me: { tenantId }, owner: { kind } } = first;
    const authority = await this.certificates.authority(tenantId);
    return this.transactions.run({ tenantId }, async (tx) => {
      const found = await (kind === 'device' ? this.lockDevices(tx, asked) : this.lockServices(tx, asked));
      const wanted = asked.map((one, index) => certificateOrderOf(one, found[index] as Found));
      const orders = wanted.filter((order): order is CertificateOrder => !(order instanceof Error));
      const given = await this.certificates.issueAll(tx, authority, orders);
      const answers = wanted.map((order) => (order instanceof Error ? order : given[orders.indexOf(order)] as CertificateGiven | AppError));
      await this.audit.recordAll(tx, answers.flatMap((answer, index) => (answer instanceof Error ? [] : [eventOf(asked[index] as Asked, answer, wanted[index] as CertificateOrder)])));
      return answers;
    });
  }

  private async lockDevices(tx: Transaction, asked: readonly Asked[]): Promise<Found[]> {
    const states = await this.devices.lockStates(tx, asked.map(({ owner }) => owner.id));
    const renewing = asked.filter(({ me }) => me.kind === 'device').map(({ owner }) => owner.id);
    const live = renewing.length === 0 ? [] : await this.certificates.liveOf(tx, renewing);
    return asked.map(({ me, owner }) => {
      const status = states.get(owner.id);
      return status === undefined ? devicesError('DEVICE_NOT_FOUND') : judge(me, status, live.filter((certificate) => certificate.owner?.id === owner.id));
    });
  }

  private async lockServices(tx: Transaction, asked: readonly Asked[]): Promise<Found[]> {
    const found: Found[] = [];
    for (const { owner } of asked) {
      const { status } = await this.serviceAccounts.lock(tx, owner.id);
      found.push(status === 'ACTIVE' ? {} : lifecycleError('CERT_SERVICE_STATE'));
    }
    return found;
  }
}

/** @param live the device's good certificates, where it asks for itself */
function judge(me: TenantPrincipal, status: DeviceStatus, live: readonly CertificateRecord[]): Found {
  if (status === 'DECOMMISSIONED') return devicesError('DEVICE_DECOMMISSIONED');
  const allowed = ISSUING_STATES.includes(status) || (status === 'QUARANTINED' && me.role === 'ADMIN');
  if (!allowed) return lifecycleError('CERT_DEVICE_STATE', { detail: `The device is ${status}.` });
  if (me.kind !== 'device') return {};
  const current = me.credential === 'certificate' ? live.find(({ id }) => id === me.credentialId) : undefined;
  if (current !== undefined) return { renews: current };
  // A secret buys the first certificate; whoever has one renews it with its key.
  if (live.length > 0 || me.credential === 'certificate') return lifecycleError('CERT_RENEWAL_NEEDS_CERTIFICATE');
  return {};
}

function certificateOrderOf({ me, owner, request, made, ip }: Asked, found: Found): CertificateOrder | AppError {
  if (found instanceof Error) return found;
  const ordered = orderOf(owner.kind, request);
  if (ordered instanceof Error) return ordered;
  const { order, ttlMs } = ordered;
  const key = made ?? ('csr' in order ? order : null);
  if (key === null) throw new Error('a key was to be made beforehand');
  return {
    owner: { ...owner, tenantId: me.tenantId },
    key,
    ...(ttlMs === undefined ? {} : { ttlMs }),
    ...found,
    credentialId: owner.kind === 'device' && me.credential === 'basic' ? (me.credentialId ?? null) : null,
    requestedFrom: ip,
  };
}

function eventOf({ me, owner, request, ip, requestId }: Asked, { serial, notAfter }: CertificateGiven, { renews }: CertificateOrder): AuditEvent {
  const about = owner.kind === 'device' ? { renews: renews?.serial ?? null } : { serviceAccountId: owner.id };
  return {
    type: 'CERT_ISSUED',
    tenantId: me.tenantId,
    deviceId: owner.kind === 'device' ? owner.id : null,
    userId: me.kind === 'user' ? me.id : null,
    actor: actorOf(me),
    ip,
    requestId,
    details: { serial, notAfter: notAfter.toISOString(), ...about, generated: request.generate === true },
  };
}

/** CERT_REQUEST_UNCLEAR, CERT_PROFILE_UNKNOWN */
function orderOf(profile: Asked['owner']['kind'], request: CertificateRequest): { order: KeyOrder; ttlMs?: number } | AppError {
  const order = keyOrderOf(request);
  if (order === null) return pkiError('CERT_REQUEST_UNCLEAR');
  if (request.profile !== undefined && request.profile !== profile) return pkiError('CERT_PROFILE_UNKNOWN');
  return { order, ...(request.ttl === undefined ? {} : { ttlMs: lifetimeMs(request.ttl) }) };
}

function keyOrderOf({ csr, generate, keyType, password }: CertificateRequest): KeyOrder | null {
  if (csr !== undefined) return generate === true || keyType !== undefined || password !== undefined ? null : { csr };
  if (generate !== true) return null;
  return { generate: keyType ?? 'EC', ...(password === undefined ? {} : { password }) };
}

function orThrow<T>(answer: T | AppError): T {
  if (answer instanceof Error) throw answer;
  return answer;
}
