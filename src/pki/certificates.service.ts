import { randomUUID, type KeyObject } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { TenantPrincipal } from '../access/principal.js';
import { DevicesService } from '../devices/devices.service.js';
import { ServiceAccountsService } from '../devices/service-accounts.service.js';
import { Clock } from '../platform/clock/clock.js';
import { Transactions, type Transaction } from '../platform/database/transactions.js';
import { DEFAULT_PAGE, decodeCursor, pageOf, type Page } from '../platform/http/paging.js';
import { AppError } from '../platform/problem/app-error.js';
import { packed } from '../platform/work/thread.js';
import { AuthoritiesService, type SigningAuthority } from './authorities.service.js';
import { CertificateDrafts } from './certificate-drafts.js';
import { issueCertificate, signDraft, type IssuedCertificate } from './certificate-issue.js';
import { RENEWAL_OVERLAP_MS, type CertificateOwner, type CertificateRecord } from './certificate.js';
import { CertificatesRepository } from './certificates.repository.js';
import { crlEntry, type RevokeReason } from './crl.js';
import { toPem } from './der.js';
import type { DraftOrder } from './draft-orders.js';
import { commonNameOf, identityUri } from './identity-uri.js';
import { generateKey, keyHashOf, privatePem, spkiOf, type KeyType } from './keys.js';
import { pkcs12 } from './pkcs12.js';
import { pkiError } from './pki.errors.js';
import { POLICY_MAX_MS, PROFILES } from './profiles.js';
import { TrustAnchors } from './trust-anchors.js';

/** Where the key comes from: a request that proves it, or made here. */
export type KeyOrder = { readonly csr: string } | { readonly generate: KeyType; readonly password?: string };

/** A request, judged when it is carried out, or a key that was made. */
export type CertifiedKey = { readonly csr: string } | PreparedKey;

export interface CertificateOrder {
  readonly owner: CertificateOwner;
  readonly key: CertifiedKey;
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

interface Made {
  readonly id: string;
  readonly order: CertificateOrder;
  readonly keyHash: Buffer;
  readonly issued: IssuedCertificate;
}

/** The authorities above a certificate, the issuing one first. */
interface Chain {
  readonly ders: readonly Buffer[];
  readonly pem: string;
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
    private readonly drafts: CertificateDrafts,
    private readonly repository: CertificatesRepository,
  ) {}

  /** Everything that costs time before a transaction is opened. @throws as `keyOf` and `authority` */
  async prepare(tenantId: string, order: KeyOrder, ttlMs?: number): Promise<{ key: CertifiedKey; authority: SigningAuthority }> {
    const key = await this.keyOf(order, ttlMs);
    return { key, authority: await this.authority(tenantId) };
  }

  /** The request as it is, or a fresh key. @throws CERT_TTL_INVALID */
  async keyOf(order: KeyOrder, ttlMs?: number): Promise<CertifiedKey> {
    refuseTtl(ttlMs);
    return 'csr' in order ? { csr: order.csr } : newKey(order);
  }

  /** Who signs for the tenant; made at first need, so not to be called inside a transaction. @throws AUTHORITY_KEY_ELSEWHERE */
  authority(tenantId: string): Promise<SigningAuthority> {
    return this.authorities.issuing(tenantId);
  }

  /** @throws CSR_MALFORMED, CSR_SIGNATURE, KEY_WEAK, KEY_REUSED, CERT_TTL_INVALID, DEVICE_NOT_FOUND */
  async issue(tx: Transaction, { authority, ...order }: CertificateOrder & { readonly authority: SigningAuthority }): Promise<CertificateGiven> {
    const [given] = await this.issueAll(tx, authority, [order]);
    if (given === undefined || given instanceof AppError) throw given ?? new Error('one certificate was to be issued');
    return given;
  }

  /**
   * Several in as few statements as one. A refusal is its own order's alone, and leaves no trace of it.
   * @returns of each order its certificate, or CSR_MALFORMED, CSR_SIGNATURE, KEY_WEAK, KEY_REUSED, CERT_TTL_INVALID
   */
  async issueAll(tx: Transaction, authority: SigningAuthority, orders: readonly CertificateOrder[]): Promise<(CertificateGiven | AppError)[]> {
    const now = this.clock.now();
    const sound = orders.filter(({ ttlMs }) => isTtl(ttlMs));
    const drafts = await this.drafts.of(authority.issuer, now, sound.map(draftOrderOf));
    const signed = await Promise.all(drafts.map(async (draft, index): Promise<Made | AppError> => (draft instanceof AppError
      ? draft
      : { id: randomUUID(), order: sound[index] as CertificateOrder, keyHash: draft.keyHash, issued: await signDraft(authority.issuer, draft) })));
    const made = signed.filter((one): one is Made => !(one instanceof AppError));
    const stored = await this.repository.insertOwned(tx, made.map(({ id, order, keyHash, issued }) => ({
      id, owner: order.owner, authorityId: authority.authority.id, profile: PROFILES[order.owner.kind].name, keyHash, createdAt: new Date(now),
      parentId: order.renews?.id ?? null, credentialId: order.credentialId ?? null, requestedFrom: order.requestedFrom ?? null, ...issued,
    })));
    await this.supersede(tx, made.filter(({ id }) => stored.has(id)).map(({ order }) => order), now);
    const chain = await this.chainOf(authority);
    const answers = signed.map((one) => {
      if (one instanceof AppError) return one;
      return stored.has(one.id) ? { id: one.id, ...given(one.issued, chain, one.order.key, commonNameOf(one.order.owner)) } : pkiError('KEY_REUSED');
    });
    return orders.map((order) => answers[sound.indexOf(order)] ?? ttlError());
  }

  /** A server's certificate with a fresh key, such as the embedded broker's; the first name is also its common name. */
  async issueServer(tenantId: string, altNames: readonly ({ readonly dns: string } | { readonly ip: string })[]): Promise<CertificateGiven> {
    const key = await newKey({ generate: 'EC' });
    const authority = await this.authority(tenantId);
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
    return { id, ...given(issued, await this.chainOf(authority), key, commonName) };
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
    return this.liveOf(tx, [deviceId]);
  }

  /** As `live`, of several devices. */
  liveOf(tx: Transaction, deviceIds: readonly string[]): Promise<CertificateRecord[]> {
    return this.repository.live(tx, deviceIds, new Date(this.clock.now()));
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

  /** What was renewed keeps an overlap. */
  private async supersede(tx: Transaction, orders: readonly CertificateOrder[], now: number): Promise<void> {
    const renewing = orders.filter(({ renews }) => renews !== undefined);
    if (renewing.length === 0) return;
    const before = renewing.map(({ renews }) => (renews as CertificateRecord).id);
    await this.repository.supersede(tx, before, new Date(now), new Date(now + RENEWAL_OVERLAP_MS));
    const idsOf = (kind: CertificateOwner['kind']): string[] => renewing.filter(({ owner }) => owner.kind === kind).map(({ owner }) => owner.id);
    await this.devices.touchAll(tx, idsOf('device'));
    for (const id of idsOf('service')) await this.serviceAccounts.touch(tx, id);
  }

  private async chainOf({ authority }: SigningAuthority): Promise<Chain> {
    const ders = await this.anchors.chainOf(authority);
    return { ders, pem: ders.map((der) => toPem('CERTIFICATE', der)).join('') };
  }

  private async touch(tx: Transaction, { kind, id }: CertificateOwner): Promise<void> {
    await (kind === 'device' ? this.devices.touch(tx, id) : this.serviceAccounts.touch(tx, id));
  }
}

async function newKey({ generate, password }: { readonly generate: KeyType; readonly password?: string }): Promise<PreparedKey> {
  const privateKey = await generateKey(generate);
  return { spki: spkiOf(privateKey), privateKey, ...(password === undefined ? {} : { password }) };
}

function draftOrderOf({ owner, key, ttlMs }: CertificateOrder): DraftOrder {
  return {
    key: 'csr' in key ? key : { spki: packed(key.spki) },
    profile: PROFILES[owner.kind].name,
    commonName: commonNameOf(owner),
    uri: identityUri(owner),
    ...(ttlMs === undefined ? {} : { ttlMs }),
  };
}

function given({ der, serial, notBefore, notAfter, fingerprint }: IssuedCertificate, chain: Chain, key: CertifiedKey, label: string): Omit<CertificateGiven, 'id'> {
  const { privateKey = null, password } = 'csr' in key ? {} : key;
  return {
    serial,
    certificate: toPem('CERTIFICATE', der),
    chain: chain.pem,
    notBefore,
    notAfter,
    fingerprint,
    ...(privateKey === null ? {} : { privateKey: privatePem(privateKey) }),
    ...(privateKey === null || password === undefined ? {} : { pkcs12: pkcs12(privateKey, [der, ...chain.ders], password, label).toString('base64') }),
  };
}

function isTtl(ttlMs: number | undefined): boolean {
  return ttlMs === undefined || (ttlMs >= MIN_TTL_MS && ttlMs <= POLICY_MAX_MS);
}

function ttlError(): AppError {
  return pkiError('CERT_TTL_INVALID', { errors: [{ path: 'ttl', message: 'must be one minute to 8760 hours' }] });
}

function refuseTtl(ttlMs: number | undefined): void {
  if (!isTtl(ttlMs)) throw ttlError();
}
