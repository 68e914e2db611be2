import { Inject, Injectable } from '@nestjs/common';
import type { AuditEvent } from '../audit/audit-event.js';
import { AuditStream } from '../audit/audit.stream.js';
import { CredentialsGate, type ProofVerdict } from '../credentials/credentials.gate.js';
import { ConnectionsHub } from '../devices/connections.js';
import { DevicesGate, type FactsAnswer } from '../devices/devices.gate.js';
import type { Facts } from '../devices/facts.js';
import { LifecycleService } from '../lifecycle/lifecycle.service.js';
import { PkiGate, type CertificateVerdict } from '../pki/pki.gate.js';
import { Clock } from '../platform/clock/clock.js';
import { CONFIG, type Config } from '../platform/config/config.js';
import { logger } from '../platform/telemetry/logger.js';
import { RateLimitGate } from '../rate-limit/rate-limit.gate.js';
import { decideAcl, readAclClaim, type AclClaim } from './acl.decision.js';
import { BrokerMetrics } from './broker.metrics.js';
import { decideConnect, judgeStanding } from './connect.decision.js';
import { isCompactJws, looksLikeOurs, readClaim, readSubject, showsCertificate, type Claim } from './identity.js';
import { readAclQuestion, readConnectQuestion, type AclQuestion, type ConnectQuestion } from './question.js';
import { isOurs, type DoorReason } from './reasons.js';

const ALLOW = '{"result":"allow"}';
const DENY = '{"result":"deny"}';
const DENY_CONNECT = '{"result":"deny","is_superuser":false}';
const IGNORE = '{"result":"ignore"}';

/** What became of a question: the JSON to send, and why. */
export interface Answer {
  readonly json: string;
  readonly allow: boolean;
  readonly reason: string;
}

/** What an allow is made of, once for the same facts. */
interface Grant {
  readonly acl: string;
  /** Members of `client_attrs`, with the closing bracket and without the opening one. */
  readonly attributes: string;
  /** How the last allow was noted: a device comes back as it came. */
  noted: AuthSuccess | null;
}

interface AuthSuccess extends AuditEvent {
  readonly details: { readonly clientid: string; readonly proof: Claim['proof']['kind']; readonly credentialId: string; readonly stale: boolean };
}

type Eventually<T> = T | Promise<T>;
type Verdict = ProofVerdict | CertificateVerdict;

/**
 * The hot path, one straight line a callback: question, facts, proof, decision, then (refusals only) counting, then the
 * audit note. Warm, it runs without a promise. It never throws and never rejects: what fails is refused.
 */
@Injectable()
export class BrokerLine {
  /** The rights, and all attributes but one, are the same for every session on the same facts. */
  private readonly grants = new WeakMap<Facts, Grant>();

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly clock: Clock,
    private readonly devices: DevicesGate,
    private readonly credentials: CredentialsGate,
    private readonly pki: PkiGate,
    private readonly rateLimit: RateLimitGate,
    private readonly audit: AuditStream,
    private readonly lifecycle: LifecycleService,
    private readonly metrics: BrokerMetrics,
    private readonly connections: ConnectionsHub,
  ) {
    // Failures that only add up over several processes.
    rateLimit.suspendLater((deviceId) => this.suspend(deviceId, 'FAILURES'));
  }

  connect(body: Buffer, contentType: string): Eventually<Answer> {
    return this.guarded('auth', DENY_CONNECT, () => {
      const question = readConnectQuestion(body, contentType);
      if (question === null) return this.refuseConnect(null, 'QUESTION_MALFORMED', null);
      const claim = readClaim(question, { production: this.config.production, brokerCert: this.config.gate.brokerCert });
      if (typeof claim === 'string') return this.refuseUnclaimed(question, claim);
      return settle(
        this.factsOf(claim.subject.kind, claim.subject.id),
        (answer) => this.judgeConnect(question, claim, answer),
        (error) => this.unanswerable(question, error),
      );
    });
  }

  acl(body: Buffer, contentType: string): Eventually<Answer> {
    return this.guarded('acl', DENY, () => {
      const question = readAclQuestion(body, contentType);
      if (question === null) return this.refuseAcl(null, 'QUESTION_MALFORMED', null);
      const claim = readAclClaim(question);
      if (typeof claim === 'string') return this.refuseAcl(question, claim, null);
      return settle(
        this.factsOf(claim.subject.kind, claim.subject.id),
        (answer) => this.judgeAcl(question, claim, answer),
        (error) => {
          logger.warn({ err: error }, 'facts could not be read');
          return this.refuseAcl(question, 'FACTS_UNAVAILABLE', null);
        },
      );
    });
  }

  /** Refuses a question whose body was not even read. */
  refuseUnread(door: 'auth' | 'acl'): Answer {
    return door === 'auth' ? this.refuseConnect(null, 'QUESTION_MALFORMED', null) : this.refuseAcl(null, 'QUESTION_MALFORMED', null);
  }

  private factsOf(kind: 'device' | 'service', id: string): Eventually<FactsAnswer> {
    return this.devices.peek(kind, id) ?? this.devices.facts(kind, id);
  }

  private judgeConnect(question: ConnectQuestion, claim: Claim, { facts, stale }: FactsAnswer): Eventually<Answer> {
    if (facts === null) {
      return this.refuseConnect(question, claim.subject.kind === 'device' ? 'DEVICE_UNKNOWN' : 'SERVICE_UNKNOWN', null);
    }
    const standing = judgeStanding(facts, stale);
    if (standing !== null) return this.refuseConnect(question, standing, facts);
    const now = this.clock.now();
    return settle(
      claim.proof.kind === 'certificate' ? this.pki.check(claim.proof, facts, now) : this.credentials.check(claim.proof, facts, now),
      (proof) => this.answerConnect(question, claim, facts, stale, proof, now),
      (error) => this.unanswerable(question, error),
    );
  }

  private answerConnect(
    question: ConnectQuestion,
    claim: Claim,
    facts: Facts,
    stale: boolean,
    proof: Verdict,
    now: number,
  ): Answer {
    const verdict = decideConnect({ facts, stale, proof, now, jitter: Math.random(), sessionMaxMs: this.config.gate.sessionMaxMs });
    if (!verdict.allow) return this.refuseConnect(question, verdict.reason, facts, proof);
    const grant = this.grantOf(facts, claim.subject.name);
    this.audit.noteAgain(this.successOf(grant, question, facts, claim.proof.kind, verdict.credentialId, stale));
    this.connections.connected(facts);
    const cred = JSON.stringify(verdict.credentialId);
    const json = `{"result":"allow","is_superuser":false,"expire_at":${verdict.expireAt},"acl":${grant.acl},"client_attrs":{"cred":${cred},${grant.attributes}}`;
    return { json, allow: true, reason: 'ALLOWED' };
  }

  private judgeAcl(question: AclQuestion, claim: AclClaim, { facts, stale }: FactsAnswer): Answer {
    if (facts === null) {
      return this.refuseAcl(question, claim.subject.kind === 'device' ? 'DEVICE_UNKNOWN' : 'SERVICE_UNKNOWN', null);
    }
    const verdict = decideAcl(facts, stale, claim.request);
    return verdict.allow ? { json: ALLOW, allow: true, reason: 'ALLOWED' } : this.refuseAcl(question, verdict.reason, facts);
  }

  /** The identity does not hold together: nothing was looked up yet, and it may not even be a client of ours. */
  private refuseUnclaimed(question: ConnectQuestion, reason: DoorReason): Answer {
    if (this.config.gate.brokerUnknown === 'ignore' && !looksLikeOurs(question)) {
      return { json: IGNORE, allow: false, reason: 'NOT_OURS' };
    }
    const subject = readSubject(question.clientid);
    if (subject === null) return this.refuseConnect(question, reason, null);
    const known = this.devices.peek(subject.kind, subject.id);
    if (known) return this.refuseConnect(question, reason, known.facts);
    // The answer does not wait for this: it only tells the audit row whose device was claimed.
    this.devices.facts(subject.kind, subject.id).then(
      ({ facts }) => this.refuseConnect(question, reason, facts),
      () => this.refuseConnect(question, reason, null),
    ).catch((error: unknown) => logger.error({ err: error }, 'a refusal could not be noted'));
    return { json: DENY_CONNECT, allow: false, reason };
  }

  private refuseConnect(question: ConnectQuestion | null, reason: string, facts: Facts | null, proof?: Verdict): Answer {
    const answer = { json: DENY_CONNECT, allow: false, reason };
    if (question === null) return answer;
    const claimed = readSubject(question.clientid);
    const { proven, possession } = this.provenBy(question, claimed?.name ?? null, reason, proof);
    const { sheddable, suspend } = this.rateLimit.count({
      claimed: claimed?.name ?? null,
      proven,
      address: question.peerhost,
      possession,
      ours: isOurs(reason),
      at: this.clock.now(),
    });
    if (suspend !== null) this.suspend(suspend, reason);
    if (sheddable) {
      this.metrics.shed();
      return answer;
    }
    this.audit.note({
      type: 'AUTH_FAILURE',
      tenantId: facts?.tenantId ?? null,
      deviceId: facts?.kind === 'device' ? facts.id : null,
      actor: { kind: 'broker-client', id: question.clientid },
      ip: question.peerhost,
      details: { reason, clientid: question.clientid, username: question.username, proven },
    });
    return answer;
  }

  /** Whom the presented proof really names, and whether it was used under another's name. */
  private provenBy(
    question: ConnectQuestion,
    claimed: string | null,
    reason: string,
    proof: Verdict | undefined,
  ): { proven: string | null; possession: boolean } {
    if (proof !== undefined) return proof.ok ? { proven: claimed, possession: false } : proof;
    if (showsCertificate(question)) {
      const named = question.cert_pem === '' ? null : (this.pki.identify(question.cert_pem)?.subject ?? null);
      // A certificate at the wrong door counts too: only its holder can have shown it.
      return { proven: named, possession: named !== null && (named !== claimed || reason === 'USERNAME_MISMATCH' || reason === 'LISTENER_MISMATCH') };
    }
    if (!isCompactJws(question.password)) return { proven: null, possession: false };
    const proven = this.credentials.identify(question.password)?.subject ?? null;
    return { proven, possession: proven !== null && (proven !== claimed || reason === 'USERNAME_MISMATCH') };
  }

  private refuseAcl(question: AclQuestion | null, reason: string, facts: Facts | null): Answer {
    if (question !== null) {
      this.audit.note({
        type: 'ACL_DENIED',
        tenantId: facts?.tenantId ?? null,
        deviceId: facts?.kind === 'device' ? facts.id : null,
        actor: { kind: 'broker-client', id: question.clientid },
        ip: question.peerhost,
        details: { reason, action: question.action, topic: question.topic, qos: question.qos, retain: question.retain },
      });
    }
    return { json: DENY, allow: false, reason };
  }

  /** Ordered, never awaited: the broker's answer does not wait for a suspension. */
  private suspend(deviceId: string, reason: string): void {
    this.lifecycle.suspendForFailures(deviceId, reason).catch((error: unknown) => {
      logger.error({ err: error, deviceId }, 'a suspension after failures did not succeed');
    });
  }

  private grantOf(facts: Facts, name: string): Grant {
    let grant = this.grants.get(facts);
    if (grant === undefined) {
      const attributes = { tenant: facts.tenantId, device: name, status: facts.status, ver: String(facts.version) };
      grant = { acl: JSON.stringify(facts.acl), attributes: JSON.stringify(attributes).slice(1), noted: null };
      this.grants.set(facts, grant);
    }
    return grant;
  }

  private successOf(
    grant: Grant,
    { clientid, peerhost }: ConnectQuestion,
    facts: Facts,
    proof: Claim['proof']['kind'],
    credentialId: string,
    stale: boolean,
  ): AuthSuccess {
    const { noted } = grant;
    if (noted !== null && noted.ip === peerhost && noted.details.clientid === clientid && noted.details.proof === proof
      && noted.details.credentialId === credentialId && noted.details.stale === stale) return noted;
    return (grant.noted = {
      type: 'AUTH_SUCCESS',
      tenantId: facts.tenantId,
      deviceId: facts.kind === 'device' ? facts.id : null,
      actor: { kind: facts.kind, id: facts.id },
      ip: peerhost,
      details: { clientid, proof, credentialId, stale },
    });
  }

  private unanswerable(question: ConnectQuestion, error: unknown): Answer {
    logger.warn({ err: error }, 'a connect could not be judged');
    return this.refuseConnect(question, 'FACTS_UNAVAILABLE', null);
  }

  /** The one place where a failure of ours becomes a refusal. */
  private guarded(door: 'auth' | 'acl', deny: string, work: () => Eventually<Answer>): Eventually<Answer> {
    const failed = (error: unknown): Answer => {
      logger.error({ err: error, door }, 'a callback failed and was refused');
      return { json: deny, allow: false, reason: 'INTERNAL_ERROR' };
    };
    try {
      const answer = work();
      return answer instanceof Promise ? answer.catch(failed) : answer;
    } catch (error) {
      return failed(error);
    }
  }
}

/** `then` without a promise where there is none: a warm question is answered in the same tick. */
function settle<T, R>(value: Eventually<T>, done: (value: T) => Eventually<R>, failed: (error: unknown) => R): Eventually<R> {
  return value instanceof Promise ? value.then(done, failed) : done(value);
}
