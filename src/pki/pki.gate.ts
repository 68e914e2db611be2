import { hash, X509Certificate } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { DevicesGate } from '../devices/devices.gate.js';
import type { Facts } from '../devices/facts.js';
import { Clock } from '../platform/clock/clock.js';
import { Lru } from '../platform/redis/lru.js';
import type { CertRefusal } from './cert-refusals.js';
import { CertificateMaterials, type CertificateMaterial } from './certificate-materials.js';
import { CertificateUse } from './certificate-use.js';
import { judgeCertificate, judgeRecord, judgeTime, readCertificate, type ReadCertificate, type RecordedCertificate } from './certificate.decision.js';
import { commonNameOf } from './identity-uri.js';
import { TrustAnchors, type Anchor } from './trust-anchors.js';

export type { CertRefusal } from './cert-refusals.js';

/** A certificate as the broker shows it: whole, or (`BROKER_CERT=cn`) nothing but its common name. */
export type CertificateProof =
  | { readonly kind: 'certificate'; /** base64 of the DER, or PEM. */ readonly certificate: string }
  | { readonly kind: 'certificate'; readonly commonName: string };

export interface CertificateAccepted {
  readonly ok: true;
  readonly credentialId: string;
  /** Milliseconds. */
  readonly endsAt: number;
}

export interface CertificateRefused {
  readonly ok: false;
  readonly reason: CertRefusal;
  /** Username of whom the certificate names, if it is genuine. */
  readonly proven: string | null;
  /** A certificate that is good for `proven` was used under another's name. */
  readonly possession: boolean;
}

export type CertificateVerdict = CertificateAccepted | CertificateRefused;

type Eventually<T> = T | Promise<T>;

/** Certificates whose signature was checked; one weighs half a kilobyte. */
const MAX_READ = 20_000;
const MAX_LENGTH = 16_384;

/** The hot path's question about a client certificate. Warm, it is answered without a promise and without I/O. */
@Injectable()
export class PkiGate {
  /** By SHA-256 of what the broker sent; a signature that was right stays right. */
  private readonly read = new Lru<string, ReadCertificate>(MAX_READ);

  constructor(
    private readonly clock: Clock,
    private readonly devices: DevicesGate,
    private readonly anchors: TrustAnchors,
    private readonly materials: CertificateMaterials,
    private readonly use: CertificateUse,
  ) {}

  /**
   * Whether the certificate is good for the subject of `facts` at `now` (ms): chain to the tenant's authority, clientAuth, validity,
   * identity, and the record of its serial. `asked`: somebody wants to know, nobody connects. Never rejects: what cannot be found out is refused with CERT_STATUS_UNAVAILABLE.
   */
  check(proof: CertificateProof, facts: Facts, now: number, { asked = false }: { asked?: boolean } = {}): Eventually<CertificateVerdict> {
    if (facts.allowedProofs !== null && !facts.allowedProofs.includes('certificate')) return refuse('CERT_NOT_ALLOWED');
    if (!('certificate' in proof)) return this.checkName(proof.commonName, facts, now);
    return settle(this.parse(proof.certificate), (read) => (typeof read === 'string' ? refuse(read) : this.judge(read, facts, now, asked)));
  }

  /**
   * Whom a certificate names that was shown under another name or at the wrong door; in this very tick. `null` unless it is genuine,
   * timely and not known to be revoked.
   */
  identify(certificate: string): { readonly subject: string } | null {
    const now = this.clock.now();
    const read = this.parse(certificate);
    if (read instanceof Promise) {
      // Another time it is at hand.
      read.catch(() => undefined);
      return null;
    }
    if (typeof read === 'string' || read.identity === null || !read.forClients || !this.stillGood(read, now)) return null;
    return { subject: commonNameOf(read.identity) };
  }

  private judge(read: ReadCertificate, facts: Facts, now: number, asked: boolean): Eventually<CertificateVerdict> {
    const proven = read.identity === null ? null : commonNameOf(read.identity);
    const refusal = judgeCertificate(read, facts, now);
    if (refusal === 'CERT_SUBJECT') return { ok: false, reason: refusal, proven, possession: this.stillGood(read, now) };
    if (refusal !== null) return refuse(refusal, proven);
    // A genuine certificate that is not among the records may have been issued since they were read.
    return this.withMaterial(facts, ({ bySerial }) => bySerial.has(read.serial), ({ bySerial }) => {
      const record = bySerial.get(read.serial);
      const reason = judgeRecord(record, read.fingerprint, now);
      if (reason !== null || record === undefined) return refuse(reason ?? 'CERT_UNKNOWN', proven);
      if (!asked) this.use.note(record.id, facts, now);
      return { ok: true, credentialId: record.id, endsAt: Math.min(read.notAfter, record.endsAt ?? read.notAfter) };
    });
  }

  /** The broker has checked the certificate and tells only its name: good while the device holds any good certificate. */
  private checkName(commonName: string, facts: Facts, now: number): Eventually<CertificateVerdict> {
    if (commonName !== commonNameOf(facts)) return refuse('CERT_SUBJECT');
    const goodOf = ({ bySerial }: CertificateMaterial): RecordedCertificate[] =>
      [...bySerial.values()].filter((record) => judgeRecord(record, record.fingerprint, now) === null && record.notAfter > now);
    return this.withMaterial(facts, (material) => goodOf(material).length > 0, (material) => {
      const { bySerial } = material;
      const good = goodOf(material);
      const latest = good.sort((a, b) => b.notAfter - a.notAfter)[0];
      if (latest === undefined) return refuse(bySerial.size > 0 ? 'CERT_REVOKED' : 'CERT_UNKNOWN');
      return { ok: true, credentialId: latest.id, endsAt: Math.min(latest.notAfter, latest.endsAt ?? latest.notAfter) };
    });
  }

  /** Decides on what is at hand if that suffices, else on what Postgres has. */
  private withMaterial(facts: Facts, suffices: (material: CertificateMaterial) => boolean, decide: (material: CertificateMaterial) => CertificateVerdict): Eventually<CertificateVerdict> {
    const material = this.materials.peek(facts);
    if (material !== undefined && suffices(material)) return decide(material);
    return this.materials.load(facts).then(decide, () => refuse('CERT_STATUS_UNAVAILABLE'));
  }

  /** Whether it would still connect its own device; where that has to be looked up first, it is believed this once. */
  private stillGood(read: ReadCertificate, now: number): boolean {
    const { identity } = read;
    if (identity === null || judgeTime(read, now) !== null) return false;
    const facts = this.devices.peek(identity.kind, identity.id)?.facts;
    const material = facts ? this.materials.peek(facts) : undefined;
    if (material !== undefined) return judgeRecord(material.bySerial.get(read.serial), read.fingerprint, now) === null;
    this.devices.facts(identity.kind, identity.id)
      .then((answer) => answer.facts && this.materials.load(answer.facts))
      .catch(() => undefined);
    return true;
  }

  private parse(text: string): Eventually<ReadCertificate | CertRefusal> {
    const key = hash('sha256', text, 'base64');
    const known = this.read.get(key);
    if (known !== undefined) return known;
    const parsed = parseCertificate(text);
    if (parsed === null) return 'CERT_MALFORMED';
    const anchor = this.anchors.peek(parsed.issuer);
    if (anchor !== undefined) return this.verify(key, parsed, anchor);
    return this.anchors.find(parsed.issuer).then(
      (found): ReadCertificate | CertRefusal => (found === undefined ? 'CERT_UNTRUSTED' : this.verify(key, parsed, found)),
      (): CertRefusal => 'CERT_STATUS_UNAVAILABLE',
    );
  }

  private verify(key: string, parsed: X509Certificate, { authority, certificate, publicKey }: Anchor): ReadCertificate | CertRefusal {
    if (!parsed.checkIssued(certificate) || !parsed.verify(publicKey)) return 'CERT_UNTRUSTED';
    const read = readCertificate(parsed, authority);
    this.read.set(key, read);
    return read;
  }
}

/** base64 of DER as EMQX renders it, or PEM; `null` for anything else. */
function parseCertificate(text: string): X509Certificate | null {
  if (text.length > MAX_LENGTH) return null;
  try {
    return new X509Certificate(text.startsWith('-----BEGIN') ? text : Buffer.from(text, 'base64'));
  } catch {
    return null;
  }
}

function refuse(reason: CertRefusal, proven: string | null = null): CertificateRefused {
  return { ok: false, reason, proven, possession: false };
}

function settle<T, R>(value: Eventually<T>, done: (value: T) => Eventually<R>): Eventually<R> {
  return value instanceof Promise ? value.then(done) : done(value);
}
