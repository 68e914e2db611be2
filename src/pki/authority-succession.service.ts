import { createPublicKey, randomUUID, X509Certificate } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { SYSTEM_ACTOR, type AuditActor } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { Clock } from '../platform/clock/clock.js';
import { CONFIG, type Config } from '../platform/config/config.js';
import { Transactions, type Transaction } from '../platform/database/transactions.js';
import { issuingName, ORGANIZATION, type Authority } from './authority.js';
import { AuthoritiesRepository } from './authorities.repository.js';
import { AuthoritiesService, type RollOver } from './authorities.service.js';
import { findingsOfIssuing, findingsOfRoot, parseAuthority } from './authority-check.js';
import { authorityRequest } from './authority-request.js';
import { algorithmOf, keyHashOf, spkiOf, type KeyType } from './keys.js';
import { pkiError } from './pki.errors.js';
import { Signer } from './signer.js';

/** An authority, and how much still rests on it. */
export interface ListedAuthority {
  readonly authority: Authority;
  /** Good certificates of clients that it issued; `null`: a root, which issues none. */
  readonly remaining: number | null;
}

export interface MadeRequest {
  /** Id that the authority will have. */
  readonly id: string;
  readonly keyType: KeyType;
  /** PKCS #10 in PEM. */
  readonly csr: string;
}

const DAY_MS = 86_400_000;
/** A request that nobody signed is forgotten after this. */
const REQUEST_LIFE_MS = 90 * DAY_MS;
/** What was being issued when an authority was replaced has long been stored after this. */
const SETTLED_MS = 3_600_000;

/** How authorities follow each other: roots from outside, requests that are signed outside, roll-over, and the end of the old one. */
@Injectable()
export class AuthoritySuccessionService {
  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly clock: Clock,
    private readonly transactions: Transactions,
    private readonly repository: AuthoritiesRepository,
    private readonly authorities: AuthoritiesService,
    private readonly signer: Signer,
    private readonly audit: AuditService,
  ) {}

  /** Newest first: the root, and the tenant's issuing authorities. */
  list(tenantId: string): Promise<ListedAuthority[]> {
    return this.transactions.run({ tenantId }, async (tx) => {
      const now = new Date(this.clock.now());
      const listed: ListedAuthority[] = [];
      for (const authority of await this.repository.list(tx)) {
        listed.push({ authority, remaining: authority.kind === 'root' ? null : await this.repository.countLive(tx, authority.id, now) });
      }
      return listed;
    });
  }

  /**
   * A root whose key stays elsewhere. It takes the place of the one before, on which authorities go on resting until they are rolled over.
   * @param pem the certificate
   * @throws AUTHORITY_CERT_MALFORMED, AUTHORITY_CERT_REFUSED, AUTHORITY_EXISTS
   */
  async importRoot(pem: string, actor: AuditActor = SYSTEM_ACTOR): Promise<Authority> {
    const certificate = readOrRefuse(pem);
    const now = this.clock.now();
    refuse(findingsOfRoot(certificate, now));
    const root = this.authorityOf(certificate, { id: randomUUID(), tenantId: null, kind: 'root', parentId: null, keyHandle: null });
    await this.transactions.run({}, async (tx) => {
      await this.repository.takeTurn(tx, 'root');
      if (await this.repository.knows(tx, root.certificate)) throw pkiError('AUTHORITY_EXISTS');
      const previous = await this.repository.root(tx);
      if (previous !== null) await this.retire(tx, previous, root.id, actor);
      if (!(await this.authorities.add(tx, root, actor))) throw new Error('a root is in the way of its successor');
    });
    return root;
  }

  /** A key for an issuing authority of the tenant and a request for its certificate, to be signed by whoever holds the root. */
  async request(tenantId: string, { keyType = this.config.pki.keyType, actor = SYSTEM_ACTOR }: { keyType?: KeyType; actor?: AuditActor } = {}): Promise<MadeRequest> {
    const id = randomUUID();
    const { handle, spki } = await this.signer.make(id, keyType);
    const algorithm = algorithmOf(createPublicKey({ key: spki, type: 'spki', format: 'der' }));
    const csr = await authorityRequest(
      { commonName: issuingName(id), organization: ORGANIZATION, spki, algorithm },
      (bytes) => this.signer.sign({ id, handle }, algorithm, bytes),
    );
    await this.transactions.run({ tenantId }, async (tx) => {
      const now = this.clock.now();
      await this.repository.forgetRequests(tx, new Date(now - REQUEST_LIFE_MS));
      await this.repository.addRequest(tx, { id, keyType, keyHandle: handle }, keyHashOf(spki), new Date(now));
      await this.audit.record(tx, { type: 'CA_REQUESTED', tenantId, actor, details: { authority: id, keyType } });
    });
    return { id, keyType, csr };
  }

  /**
   * The certificate that was signed for a request: its authority issues for the tenant from now on, and the one before retires.
   * @throws AUTHORITY_CERT_MALFORMED, AUTHORITY_CERT_REFUSED, AUTHORITY_REQUEST_UNKNOWN
   */
  async importIssuing(tenantId: string, pem: string, actor: AuditActor = SYSTEM_ACTOR): Promise<RollOver> {
    const certificate = readOrRefuse(pem);
    const root = await this.authorities.root();
    refuse(findingsOfIssuing(certificate, new X509Certificate(root.certificate), this.clock.now()));
    return this.transactions.run({ tenantId }, async (tx) => {
      const request = await this.repository.takeRequest(tx, keyHashOf(spkiOf(certificate.publicKey)));
      if (request === null) throw pkiError('AUTHORITY_REQUEST_UNKNOWN');
      // The gate finds an issuer by its name, so the name must be the one that was asked for.
      if (!certificate.subject.split('\n').includes(`CN=${issuingName(request.id)}`)) refuse(['its subject is not the one of the request']);
      const next = this.authorityOf(certificate, { id: request.id, tenantId, kind: 'issuing', parentId: root.id, keyHandle: request.keyHandle });
      return this.authorities.succeed(tx, tenantId, next, { actor });
    });
  }

  /** A new issuing authority, signed by the root here. @throws AUTHORITY_KEY_ELSEWHERE */
  rollOver(tenantId: string, options: { keyType?: KeyType; actor?: AuditActor } = {}): Promise<RollOver> {
    return this.authorities.rollOver(tenantId, options);
  }

  /**
   * Ends a retired authority on which nothing good rests any more: brokers need not trust it. Its list and its answers go on.
   * @throws AUTHORITY_NOT_FOUND, AUTHORITY_IN_USE
   */
  async end(tenantId: string, id: string, actor: AuditActor = SYSTEM_ACTOR): Promise<Authority> {
    return this.transactions.run({ tenantId }, async (tx) => {
      const found = await this.repository.find(tx, id);
      if (found === null || found.kind !== 'issuing' || found.tenantId !== tenantId) throw pkiError('AUTHORITY_NOT_FOUND');
      const now = this.clock.now();
      if (found.retiredAt === null || now - found.retiredAt.getTime() < SETTLED_MS) {
        throw pkiError('AUTHORITY_IN_USE', { detail: found.retiredAt === null ? 'It issues: roll it over first.' : 'It was replaced less than an hour ago.' });
      }
      const remaining = await this.repository.countLive(tx, id, new Date(now));
      if (remaining > 0) throw pkiError('AUTHORITY_IN_USE', { detail: `Good certificates that rest on it: ${remaining}.` });
      return { ...found, endedAt: found.endedAt ?? (await this.close(tx, found, actor)) };
    });
  }

  /** Ends whatever retired and has nothing left; `null`: it still has, or another instance was first. */
  async endUnused(authority: Authority): Promise<void> {
    const { id, kind, tenantId, retiredAt, endedAt } = authority;
    const now = this.clock.now();
    if (retiredAt === null || endedAt !== null || now - retiredAt.getTime() < SETTLED_MS) return;
    if (kind === 'root' && (await this.repository.countBelow(id)) > 0) return;
    await this.transactions.run({ tenantId }, async (tx) => {
      if (kind === 'issuing' && (await this.repository.countLive(tx, id, new Date(now))) > 0) return;
      await this.close(tx, authority, SYSTEM_ACTOR);
    });
  }

  private async close(tx: Transaction, { id, tenantId, serial }: Authority, actor: AuditActor): Promise<Date> {
    const at = new Date(this.clock.now());
    if (await this.repository.end(tx, id, at)) {
      await this.audit.record(tx, { type: 'CA_ENDED', tenantId, actor, details: { authority: id, serial } });
      tx.afterCommit(() => this.authorities.announce());
    }
    return at;
  }

  private async retire(tx: Transaction, { id, tenantId, serial }: Authority, successor: string, actor: AuditActor): Promise<void> {
    await this.repository.retire(tx, id, new Date(this.clock.now()));
    await this.audit.record(tx, { type: 'CA_RETIRED', tenantId, actor, details: { authority: id, serial, successor } });
  }

  private authorityOf(certificate: X509Certificate, place: Pick<Authority, 'id' | 'tenantId' | 'kind' | 'parentId' | 'keyHandle'>): Authority {
    return {
      ...place,
      keyType: certificate.publicKey.asymmetricKeyType === 'rsa' ? 'RSA' : 'EC',
      certificate: certificate.raw,
      serial: certificate.serialNumber.toLowerCase(),
      notBefore: new Date(certificate.validFrom),
      notAfter: new Date(certificate.validTo),
      retiredAt: null,
      endedAt: null,
      keyHere: place.keyHandle !== null,
    };
  }
}

function readOrRefuse(pem: string): X509Certificate {
  const certificate = parseAuthority(pem);
  if (certificate === null) throw pkiError('AUTHORITY_CERT_MALFORMED');
  return certificate;
}

function refuse(findings: readonly string[]): void {
  if (findings.length === 0) return;
  const text = findings.join('; ');
  throw pkiError('AUTHORITY_CERT_REFUSED', { detail: `${text.charAt(0).toUpperCase()}${text.slice(1)}.` });
}
