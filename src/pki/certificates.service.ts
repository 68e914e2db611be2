import { randomUUID, type KeyObject } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { TenantPrincipal } from '../access/principal.js';
import { DevicesService } from '../devices/devices.service.js';
import { ServiceAccountsService } from '../devices/service-accounts.service.js';
import { Clock } from '../platform/clock/clock.js';
import { Transactions, type Transaction } from '../platform/database/transactions.js';
import { DEFAULT_PAGE, decodeCursor, pageOf, type Page } from '../platform/http/paging.js';
import { AuthoritiesService, type SigningAuthority } from './authorities.service.js';
import { issueCertificate } from './certificate-issue.js';
import { RENEWAL_OVERLAP_MS, type CertificateOwner, type CertificateRecord } from './certificate.js';
import { CertificatesRepository } from './certificates.repository.js';
import { crlEntry, type RevokeReason } from './crl.js';
import { readCsr } from './csr.js';
import { toPem } from './der.js';
import { commonNameOf, identityUri } from './identity-uri.js';
import { generateKey, keyHashOf, privatePem, spkiOf, type KeyType } from './keys.js';
import { pkcs12 } from './pkcs12.js';
import { pkiError } from './pki.errors.js';
import { POLICY_MAX_MS, PROFILES } from './profiles.js';
import { TrustAnchors } from './trust-anchors.js';

/** Where the key comes from: a request that proves it, or made here. */
export type KeyOrder = { readonly csr: string } | { readonly generate: KeyType; readonly password?: string };

export interface CertificateOrder {
  readonly owner: CertificateOwner;
  readonly key: PreparedKey;
  readonly authority: SigningAuthority;
  readonly ttlMs?: number;
  /** The certificate that is renewed: it keeps an overlap. */
  readonly renews?: CertificateRecord;
  /** The client secret that it is got with. */
  readonly credentialId?: string | null;
  readonly requestedFrom?: string | null;
}

export interface PreparedKey {
  readonly spki: Buffer;
  /** Of a key made here: shown once, kept nowhere. */
  readonly privateKey: KeyObject | null;
  readonly password?: string;
}

/** A certificate as its owner gets it. PEM, but for `pkcs12` (base64). */
export interface CertificateGiven {
  readonly id: string;
  readonly serial: string;
  readonly certificate: string;
  /** Issuing authority first, then upwards. */
  readonly chain: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly fingerprint: string;
  readonly privateKey?: string;
  readonly pkcs12?: string;
}

export interface Revoked {
  readonly certificates: readonly CertificateRecord[];
  /** Authorities whose lists have to say so. */
  readonly authorities: readonly string[];
}

const MIN_TTL_MS = 60_000;
/** A laptop's broker is started seldom: a certificate that ends within weeks would end while it runs. */
const SERVER_MS = POLICY_MAX_MS;

/**
 * Certificates: signed, stored, listed, revoked. Who may ask for one is somebody else's question, who also audits. Methods that take a
 * transaction are parts of a larger change; what takes something away raises the version of the owner's facts, so that the gate sees it
 * at once. A new certificate needs none: the gate looks again for a genuine one that it does not know.
 */
@Injectable()
export class CertificatesService {
  constructor(
    private readonly clock: Clock,
    private readonly transactions: Transactions,
    private readonly devices: DevicesService,
    private readonly serviceAccounts: ServiceAccountsService,
    private readonly authorities: AuthoritiesService,
    private readonly anchors: TrustAnchors,
    private readonly repository: CertificatesRepository,
  ) {}

  /** Everything that costs time or may be refused before a transaction is opened. @throws as `keyOf` and `authority` */
  async prepare(tenantId: string, order: KeyOrder, ttlMs?: number): Promise<{ key: PreparedKey; authority: SigningAuthority }> {
    const key = await this.keyOf(order, ttlMs);
    return { key, authority: await this.authority(tenantId) };
  }

  /** The key of a request, judged, or a fresh one. @throws CSR_…, KEY_WEAK, CERT_TTL_INVALID */
  async keyOf(order: KeyOrder, ttlMs?: number): Promise<PreparedKey> {
    refuseTtl(ttlMs);
    return prepareKey(order);
  }

  /** Who signs for the tenant; made at first need, so not to be called inside a transaction. @throws AUTHORITY_KEY_ELSEWHERE */
  authority(tenantId: string): Promise<SigningAuthority> {
    return this.authorities.issuing(tenantId);
  }

  /** @throws KEY_REUSED, CERT_TTL_INVALID, DEVICE_NOT_FOUND */
  async issue(tx: Transaction, order: CertificateOrder): Promise<CertificateGiven> {
    const { owner, key, authority, renews } = order;
    refuseTtl(order.ttlMs);
    const profile = PROFILES[owner.kind];
    const now = this.clock.now();
    const issued = await issueCertificate(authority.issuer, {
      profile,
      commonName: commonNameOf(owner),
      altNames: [{ uri: identityUri(owner) }],
      spki: key.spki,
      ttlMs: order.ttlMs ?? profile.defaultMs,
      now,
    });
    const id = randomUUID();
    const stored = await this.repository.insertOwned(tx, owner, {
      id, authorityId: authority.authority.id, profile: profile.name, keyHash: keyHashOf(key.spki), createdAt: new Date(now),
      parentId: renews?.id ?? null, credentialId: order.credentialId ?? null, requestedFrom: order.requestedFrom ?? null, ...issued,
    });
    if (!stored) throw pkiError('KEY_REUSED');
    if (renews) {
      await this.repository.supersede(tx, renews.id, new Date(now), new Date(now + RENEWAL_OVERLAP_MS));
      await this.touch(tx, owner);
    }
    const chain = await this.anchors.chainOf(authority.authority);
    return { id, ...given(issued, chain, key, commonNameOf(owner)) };
  }

  /** A server's certificate with a fresh key, such as the embedded broker's; the first name is also its common name. */
  async issueServer(tenantId: string, altNames: readonly ({ readonly dns: string } | { readonly ip: string })[]): Promise<CertificateGiven> {
    const { key, authority } = await this.prepare(tenantId, { generate: 'EC' });
    const now = this.clock.now();
    const [first] = altNames;
    const commonName = first === undefined ? 'server' : 'dns' in first ? first.dns : first.ip;
    const issued = await issueCertificate(authority.issuer, {
      profile: PROFILES.server, commonName, altNames, spki: key.spki, ttlMs: SERVER_MS, now,
    });
    const id = randomUUID();
    await this.transactions.run({ tenantId }, (tx) => this.repository.insert(tx, tenantId, {
      id, authorityId: authority.authority.id, profile: 'server', keyHash: keyHashOf(key.spki), createdAt: new Date(now),
      parentId: null, credentialId: null, requestedFrom: null, ...issued,
    }));
    return { id, ...given(issued, await this.anchors.chainOf(authority.authority), key, commonName) };
  }

  /** @throws CERT_NOT_FOUND */
  async get(tx: Transaction, serial: string): Promise<CertificateRecord> {
    const found = await this.repository.findBySerial(tx, serial);
    if (found === null) throw pkiError('CERT_NOT_FOUND');
    return found;
  }

  show(me: TenantPrincipal, serial: string): Promise<CertificateRecord> {
    return this.transactions.run({ tenantId: me.tenantId }, (tx) => this.get(tx, serial));
  }

  /** @throws DEVICE_NOT_FOUND, SERVICE_ACCOUNT_NOT_FOUND, CURSOR_INVALID */
  page(me: TenantPrincipal, owner: Pick<CertificateOwner, 'kind' | 'id'>, query: { limit?: number; cursor?: string }): Promise<Page<CertificateRecord>> {
    const { limit = DEFAULT_PAGE, cursor } = query;
    const after = decodeCursor(cursor);
    return this.transactions.run({ tenantId: me.tenantId }, async (tx) => {
      await (owner.kind === 'device' ? this.devices.get(tx, owner.id) : this.serviceAccounts.get(tx, owner.id));
      const rows = await this.repository.page(tx, owner, after, limit + 1);
      return pageOf(rows, limit, ({ key }) => key, ({ certificate }) => certificate);
    });
  }

  /** A device's certificate by its id, `null` if it is none. */
  async findOwn(tx: Transaction, deviceId: string, id: string): Promise<CertificateRecord | null> {
    return this.repository.findOwn(tx, deviceId, id);
  }

  /** Certificates with which the device could connect now. */
  live(tx: Transaction, deviceId: string): Promise<CertificateRecord[]> {
    return this.repository.live(tx, deviceId, new Date(this.clock.now()));
  }

  /** As `live`, with those that were superseded: whoever has the key of one may show it elsewhere. */
  unexpired(tx: Transaction, deviceId: string): Promise<CertificateRecord[]> {
    return this.repository.unexpired(tx, deviceId, new Date(this.clock.now()));
  }

  /** Good certificates that rest on the given ones or on client secrets, oldest first. */
  lineage(tx: Transaction, from: { ids?: readonly string[]; credentialIds?: readonly string[] }, since: Date | null): Promise<CertificateRecord[]> {
    return this.repository.lineage(tx, from, since, new Date(this.clock.now()));
  }

  /** One that can still be revoked. @throws CERT_NOT_FOUND, CERT_ALREADY_REVOKED, CERT_ENDED */
  async revocable(tx: Transaction, serial: string): Promise<CertificateRecord> {
    const certificate = await this.get(tx, serial);
    if (certificate.revokedAt !== null) throw pkiError('CERT_ALREADY_REVOKED');
    if (certificate.notAfter.getTime() <= this.clock.now()) throw pkiError('CERT_ENDED');
    return certificate;
  }

  /** Those that are not revoked yet; owners are locked in the order of their ids. */
  async revoke(tx: Transaction, certificates: readonly CertificateRecord[], reason: RevokeReason): Promise<Revoked> {
    const owners = new Map(certificates.flatMap(({ owner }) => (owner === null ? [] : [[`${owner.kind}:${owner.id}`, owner] as const])));
    for (const key of [...owners.keys()].sort()) await this.touch(tx, owners.get(key) as CertificateOwner);
    const now = new Date(this.clock.now());
    const ids = new Set(await this.repository.revoke(
      tx,
      certificates.map(({ id, serial }) => ({ id, entry: crlEntry(serial, now, reason) })),
      now,
      reason,
    ));
    const done = certificates.filter(({ id }) => ids.has(id));
    return { certificates: done, authorities: [...new Set(done.map(({ authorityId }) => authorityId))] };
  }

  private async touch(tx: Transaction, { kind, id }: CertificateOwner): Promise<void> {
    await (kind === 'device' ? this.devices.touch(tx, id) : this.serviceAccounts.touch(tx, id));
  }
}

async function prepareKey(order: KeyOrder): Promise<PreparedKey> {
  if ('csr' in order) return { spki: await readCsr(order.csr), privateKey: null };
  const privateKey = await generateKey(order.generate);
  return { spki: spkiOf(privateKey), privateKey, ...(order.password === undefined ? {} : { password: order.password }) };
}

function given(
  issued: { readonly der: Buffer; readonly serial: string; readonly notBefore: Date; readonly notAfter: Date; readonly fingerprint: string },
  chain: readonly Buffer[],
  { privateKey, password }: PreparedKey,
  label: string,
): Omit<CertificateGiven, 'id'> {
  const { der, serial, notBefore, notAfter, fingerprint } = issued;
  return {
    serial,
    certificate: toPem('CERTIFICATE', der),
    chain: chain.map((upper) => toPem('CERTIFICATE', upper)).join(''),
    notBefore,
    notAfter,
    fingerprint,
    ...(privateKey === null ? {} : { privateKey: privatePem(privateKey) }),
    ...(privateKey === null || password === undefined ? {} : { pkcs12: pkcs12(privateKey, [der, ...chain], password, label).toString('base64') }),
  };
}

function refuseTtl(ttlMs: number | undefined): void {
  if (ttlMs === undefined || (ttlMs >= MIN_TTL_MS && ttlMs <= POLICY_MAX_MS)) return;
  throw pkiError('CERT_TTL_INVALID', { errors: [{ path: 'ttl', message: 'must be one minute to 8760 hours' }] });
}
