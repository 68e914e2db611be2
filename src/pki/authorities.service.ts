import { createPublicKey, randomUUID, X509Certificate } from 'node:crypto';
import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { SYSTEM_ACTOR, type AuditActor } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { Clock } from '../platform/clock/clock.js';
import { CONFIG, type Config } from '../platform/config/config.js';
import { Transactions, type Transaction } from '../platform/database/transactions.js';
import { KeyValueStore } from '../platform/redis/key-value.js';
import { Lru } from '../platform/redis/lru.js';
import { logger } from '../platform/telemetry/logger.js';
import { AUTHORITIES_CHANNEL, ISSUING_LIFE_MS, issuingName, ORGANIZATION, ROOT_LIFE_MS, type Authority } from './authority.js';
import { AuthoritiesRepository } from './authorities.repository.js';
import { AUTHORITY_WINDOWS, thresholdOf } from './expiry.js';
import { issueAuthority, issueCertificate } from './certificate-issue.js';
import { issuerOf, type Issuer } from './issuer.js';
import { algorithmOf, keyIdOf, spkiOf, type KeyType } from './keys.js';
import type { OcspResponder } from './ocsp.js';
import { PROFILES } from './profiles.js';
import { pkiError } from './pki.errors.js';
import { Signer } from './signer.js';

/** An authority that can sign. */
export interface SigningAuthority {
  readonly authority: Authority;
  readonly issuer: Issuer;
}

export interface RollOver {
  readonly previous: string | null;
  readonly current: string;
  /** Good certificates that still rest on the previous one. */
  readonly remaining: number;
}

interface RollOverOptions {
  readonly keyType?: KeyType;
  readonly actor?: AuditActor;
  /** Only while this one is the current one. */
  readonly instead?: string;
}

const DAY_MS = 86_400_000;
/** An authority that was replaced elsewhere issues so much longer where the message was lost. */
const MAX_AGE_MS = 30_000;
const MAX_HELD = 1_000;
/** A responder is replaced when it has less than this left. */
const RESPONDER_RESERVE_MS = 10 * DAY_MS;

/**
 * Authorities: one root of the installation, one issuing authority a tenant, one OCSP responder each, all made at first need. Of
 * several that make the same one at once, one wins and all use it.
 */
@Injectable()
export class AuthoritiesService implements OnModuleInit {
  /** Who issues for a tenant, with its certificate taken apart. */
  private readonly current = new Lru<string, { readonly signing: SigningAuthority; readonly readAt: number }>(MAX_HELD);
  private epoch = 0;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly clock: Clock,
    private readonly transactions: Transactions,
    private readonly repository: AuthoritiesRepository,
    private readonly signer: Signer,
    private readonly store: KeyValueStore,
    private readonly audit: AuditService,
  ) {}

  async onModuleInit(): Promise<void> {
    await this.store.subscribe(AUTHORITIES_CHANNEL, () => this.forget());
  }

  private forget(): void {
    this.epoch += 1;
    this.current.clear();
  }

  /**
   * The authority that issues for a tenant now. Not to be called inside a transaction: it may need one of its own.
   * @throws AUTHORITY_KEY_ELSEWHERE when there is none and the root cannot sign one
   */
  async issuing(tenantId: string): Promise<SigningAuthority> {
    const now = this.clock.now();
    const held = this.current.get(tenantId);
    if (held !== undefined && now - held.readAt < MAX_AGE_MS && now >= held.readAt && isFresh(held.signing.authority, now)) return held.signing;
    const { epoch } = this;
    const signing = await this.readIssuing(tenantId, now);
    // Not what a message that came meanwhile has overtaken.
    if (epoch === this.epoch) this.current.set(tenantId, { signing, readAt: now });
    return signing;
  }

  private async readIssuing(tenantId: string, now: number): Promise<SigningAuthority> {
    const found = await this.transactions.run({ tenantId }, (tx) => this.repository.issuing(tx, tenantId));
    if (found !== null && isFresh(found, now)) return this.signing(found);
    const root = await this.root();
    if (found !== null) {
      // Its successor has to be signed elsewhere: it goes on, and the monitor tells that it ends.
      if (root.keyHandle === null && found.notAfter.getTime() > now) return this.signing(found);
      await this.rollOver(tenantId, { instead: found.id });
    } else {
      const next = await this.newIssuing(root, tenantId, this.config.pki.keyType);
      await this.transactions.run({ tenantId }, (tx) => this.add(tx, next));
    }
    const made = await this.transactions.run({ tenantId }, (tx) => this.repository.issuing(tx, tenantId));
    if (made === null) throw new Error('an issuing authority was made and is not there');
    return this.signing(made);
  }

  /** The root of the installation, made at first need. */
  async root(): Promise<Authority> {
    const found = await this.transactions.run({}, (tx) => this.repository.root(tx));
    if (found !== null) return found;
    const root = await this.newRoot(this.config.pki.keyType);
    await this.transactions.run({}, (tx) => this.add(tx, root));
    const made = await this.transactions.run({}, (tx) => this.repository.root(tx));
    if (made === null) throw new Error('a root was made and is not there');
    return made;
  }

  /** `null`: there is no such authority for this tenant. */
  async find(id: string, tenantId: string | null): Promise<SigningAuthority | null> {
    const found = await this.transactions.run({ tenantId }, (tx) => this.repository.find(tx, id));
    return found === null || found.keyHandle === null ? null : this.signing(found);
  }

  /**
   * A new issuing authority for the tenant; the one before signs lists and answers until its last certificate has ended, and issues
   * nothing more. Of several roll-overs at once each has its turn; one that was meant `instead` of a certain authority does nothing
   * where that is replaced already.
   * @throws AUTHORITY_KEY_ELSEWHERE
   */
  async rollOver(tenantId: string, { keyType = this.config.pki.keyType, actor = SYSTEM_ACTOR, instead }: RollOverOptions = {}): Promise<RollOver> {
    const next = await this.newIssuing(await this.root(), tenantId, keyType);
    return this.transactions.run({ tenantId }, (tx) => this.succeed(tx, tenantId, next, { actor, ...(instead === undefined ? {} : { instead }) }));
  }

  /** Puts an authority in the place of the tenant's current one. */
  async succeed(tx: Transaction, tenantId: string, next: Authority, { actor, instead }: { actor: AuditActor; instead?: string }): Promise<RollOver> {
    const now = new Date(this.clock.now());
    await this.repository.takeTurn(tx, tenantId);
    const previous = await this.repository.issuing(tx, tenantId);
    if (previous !== null && instead !== undefined && previous.id !== instead) return { previous: instead, current: previous.id, remaining: await this.repository.countLive(tx, instead, now) };
    if (previous !== null) {
      await this.repository.retire(tx, previous.id, now);
      await this.audit.record(tx, { type: 'CA_RETIRED', tenantId, actor, details: { authority: previous.id, serial: previous.serial, successor: next.id } });
    }
    if (!(await this.add(tx, next, actor))) throw new Error('an authority is in the way of its successor');
    const remaining = previous === null ? 0 : await this.repository.countLive(tx, previous.id, now);
    return { previous: previous?.id ?? null, current: next.id, remaining };
  }

  /** Who answers OCSP for an authority: a delegate with the no-check extension (RFC 6960 §4.2.2.2). */
  async responder({ authority, issuer }: SigningAuthority): Promise<OcspResponder> {
    const now = this.clock.now();
    const { tenantId } = authority;
    const find = (tx: Transaction): Promise<Authority | null> =>
      this.repository.responder(tx, authority.id, new Date(now + RESPONDER_RESERVE_MS));
    const found = await this.transactions.run({ tenantId }, find);
    if (found !== null) return this.respondingAs(found);
    const id = randomUUID();
    const { handle, spki } = await this.signer.make(id, 'EC');
    const issued = await issueCertificate(issuer, {
      profile: PROFILES.ocsp, commonName: `Portcullis OCSP ${id.slice(0, 8)}`, altNames: [], spki, ttlMs: PROFILES.ocsp.defaultMs, now,
    });
    return this.transactions.run({ tenantId }, async (tx) => {
      const other = await find(tx);
      if (other !== null) return this.respondingAs(other);
      await this.repository.retireResponder(tx, authority.id, new Date(now));
      const made: Authority = {
        id, tenantId, kind: 'responder', parentId: authority.id, keyType: 'EC', certificate: issued.der, serial: issued.serial,
        keyHandle: handle, notBefore: issued.notBefore, notAfter: issued.notAfter, retiredAt: null, endedAt: null, keyHere: true,
      };
      const first = await this.repository.insert(tx, made);
      const winner = first ? made : await find(tx);
      if (winner === null) throw new Error('a responder was made and is not there');
      return this.respondingAs(winner);
    });
  }

  private signing(authority: Authority): SigningAuthority {
    const { id, keyHandle, certificate } = authority;
    const issuer = issuerOf(certificate, this.distributionOf(id), (algorithm, bytes) => {
      if (keyHandle === null) throw pkiError('AUTHORITY_KEY_ELSEWHERE');
      return this.signer.sign({ id, handle: keyHandle }, algorithm, bytes);
    });
    return { authority, issuer };
  }

  private respondingAs({ id, certificate, keyHandle }: Authority): OcspResponder {
    const issuer = issuerOfResponder(certificate);
    return {
      certificate,
      keyId: issuer.keyId,
      algorithm: issuer.algorithm,
      sign: (bytes) => this.signer.sign({ id, handle: keyHandle ?? Buffer.alloc(0) }, issuer.algorithm, bytes),
    };
  }

  private distributionOf(id: string): { crl: string; ocsp: string; caIssuers: string } {
    const base = `${this.config.pki.publicUrl}/pki/${id}`;
    return { crl: `${base}/crl.pem`, ocsp: `${base}/ocsp`, caIssuers: `${base}/ca.pem` };
  }

  private async newRoot(keyType: KeyType): Promise<Authority> {
    const id = randomUUID();
    const { handle, spki } = await this.signer.make(id, keyType);
    const algorithm = algorithmOf(createPublicKey({ key: spki, type: 'spki', format: 'der' }));
    const issued = await issueAuthority(
      { algorithm, self: (bytes) => this.signer.sign({ id, handle }, algorithm, bytes) },
      { commonName: `Portcullis Root ${id.slice(0, 8)}`, organization: ORGANIZATION, spki, lifeMs: ROOT_LIFE_MS, now: this.clock.now() },
    );
    return {
      id, tenantId: null, kind: 'root', parentId: null, keyType, certificate: issued.der, serial: issued.serial, keyHandle: handle,
      notBefore: issued.notBefore, notAfter: issued.notAfter, retiredAt: null, endedAt: null, keyHere: true,
    };
  }

  private async newIssuing(root: Authority, tenantId: string, keyType: KeyType): Promise<Authority> {
    if (root.keyHandle === null) throw pkiError('AUTHORITY_KEY_ELSEWHERE');
    const id = randomUUID();
    const { handle, spki } = await this.signer.make(id, keyType);
    const issued = await issueAuthority({ issuer: this.signing(root).issuer }, {
      commonName: issuingName(id), organization: ORGANIZATION, spki, lifeMs: ISSUING_LIFE_MS, now: this.clock.now(), pathLength: 0,
    });
    return {
      id, tenantId, kind: 'issuing', parentId: root.id, keyType, certificate: issued.der, serial: issued.serial, keyHandle: handle,
      notBefore: issued.notBefore, notAfter: issued.notAfter, retiredAt: null, endedAt: null, keyHere: true,
    };
  }

  /** @returns false where another one of its place was first */
  async add(tx: Transaction, authority: Authority, actor: AuditActor = SYSTEM_ACTOR): Promise<boolean> {
    const first = await this.repository.insert(tx, authority);
    if (!first) return false;
    await this.audit.record(tx, {
      type: 'CA_CREATED',
      tenantId: authority.tenantId,
      actor,
      details: {
        authority: authority.id, kind: authority.kind, serial: authority.serial, notAfter: authority.notAfter.toISOString(), keyHere: authority.keyHere,
      },
    });
    tx.afterCommit(() => this.announce());
    return true;
  }

  /** Tells every process to read the authorities anew; for use after a commit. */
  async announce(): Promise<void> {
    this.forget();
    await this.store.publish(AUTHORITIES_CHANNEL, '').catch((error: unknown) => {
      logger.warn({ err: error }, 'other processes were not told of a new authority; they find it within 30 s');
    });
  }
}

/** It can go on issuing: its end is not near. */
function isFresh(authority: Authority, now: number): boolean {
  return authority.notAfter.getTime() > now && thresholdOf(AUTHORITY_WINDOWS, authority, now) === null;
}

/** A responder's key and how it signs; it is no authority, so `issuerOf` would refuse it. */
function issuerOfResponder(certificate: Buffer): { keyId: Buffer; algorithm: ReturnType<typeof algorithmOf> } {
  const { publicKey } = new X509Certificate(certificate);
  return { keyId: keyIdOf(spkiOf(publicKey)), algorithm: algorithmOf(publicKey) };
}
