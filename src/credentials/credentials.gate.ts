import { Injectable } from '@nestjs/common';
import { DevicesGate } from '../devices/devices.gate.js';
import type { Facts } from '../devices/facts.js';
import { Clock } from '../platform/clock/clock.js';
import { Lru } from '../platform/redis/lru.js';
import { hasSecretShape, pretendToCompare } from './client-secret.js';
import { judgeSecret, type CredentialMaterial } from './credential-material.js';
import { CredentialMaterials } from './credential-materials.js';
import { judgeTime, judgeToken, type TokenIdentity } from './device-token.js';
import { LastUse } from './last-use.js';
import type { ProofRefusal } from './proof-refusals.js';
import { ShownSecrets } from './shown-secrets.js';
import { TokenVerifier } from './token-verifier.js';

export type { ProofRefusal } from './proof-refusals.js';
export type { TokenIdentity } from './device-token.js';

export type Proof =
  | { readonly kind: 'secret'; readonly secret: string }
  | { readonly kind: 'token'; readonly token: string };

export interface ProofAccepted {
  readonly ok: true;
  readonly credentialId: string;
  /** Milliseconds; `null`: no end is known. */
  readonly endsAt: number | null;
}

export interface ProofRefused {
  readonly ok: false;
  readonly reason: ProofRefusal;
  /** The device that the proof itself names, if it is genuine. */
  readonly proven: string | null;
  /** A proof that is good for `proven` was used under another's name. An ended one of one's own never is. */
  readonly possession: boolean;
}

export type ProofVerdict = ProofAccepted | ProofRefused;

type Eventually<T> = T | Promise<T>;

/** Longer passwords are cut before the work that only evens out the time of a refusal. */
const MAX_SECRET_LENGTH = 64;
const MAX_DEAD = 10_000;

/** The hot path's question about a client secret or a device token. Warm, it is answered without a promise and without I/O. */
@Injectable()
export class CredentialsGate {
  /** Tokens (by `jti`) known to have been revoked or superseded: neither is ever undone. */
  private readonly dead = new Lru<string, true>(MAX_DEAD);
  private readonly shown = new ShownSecrets();

  constructor(
    private readonly clock: Clock,
    private readonly devices: DevicesGate,
    private readonly materials: CredentialMaterials,
    private readonly tokens: TokenVerifier,
    private readonly lastUse: LastUse,
  ) {}

  /**
   * Whether the proof is good for the subject of `facts` at `now` (ms). Its state is not judged here: the door has done that
   * before. Never rejects: what cannot be found out is refused with CREDENTIALS_UNAVAILABLE.
   */
  check(proof: Proof, facts: Facts, now: number): Eventually<ProofVerdict> {
    if (facts.allowedProofs !== null && !facts.allowedProofs.includes(proof.kind)) return refuse('PROOF_NOT_ALLOWED');
    if (proof.kind === 'secret') return this.checkSecret(proof.secret, facts, now);
    return this.checkToken(proof.token, facts, now);
  }

  /** As `check` of a client secret, wherever it was shown: `allowedProofs` is about connections to the broker only. */
  checkSecret(secret: string, facts: Facts, now: number): Eventually<ProofVerdict> {
    if (!hasSecretShape(facts.kind, secret)) {
      this.pretend(secret);
      return refuse('SECRET_UNKNOWN');
    }
    return this.withMaterial(facts, (material) => {
      const verdict = judgeSecret(this.shown.find(material, facts.id, secret), now);
      if (!verdict.ok) return refuse(verdict.reason, verdict.own ? facts.id : null);
      return this.accept(verdict.credentialId, verdict.endsAt, facts, now);
    });
  }

  /** The work of checking a secret, for a subject that does not exist or may not prove itself. */
  pretend(secret: string): void {
    pretendToCompare(secret.slice(0, MAX_SECRET_LENGTH));
  }

  /**
   * Whom a token names that was shown under another name, or for nobody known; in this very tick. `null` unless the token is
   * genuine and still good for its own device: one that was revoked or superseded proves nobody's possession. Where that has to be
   * looked up first, the token is believed this once.
   */
  identify(token: string): TokenIdentity | null {
    const now = this.clock.now();
    const identity = this.tokens.identify(token, now);
    return identity !== null && this.stillProves(identity, now) ? identity : null;
  }

  private checkToken(token: string, facts: Facts, now: number): Eventually<ProofVerdict> {
    const identity = this.tokens.verify(token, now);
    if (identity instanceof Promise) return identity.then((known) => this.judge(known, facts, now), unavailable);
    return this.judge(identity, facts, now);
  }

  private judge(identity: TokenIdentity | ProofRefusal, facts: Facts, now: number): Eventually<ProofVerdict> {
    if (typeof identity === 'string') return refuse(identity);
    const { subject, tenantId, credentialId, expiresAt } = identity;
    if (facts.kind !== 'device' || subject !== facts.id) {
      return { ok: false, reason: 'TOKEN_SUBJECT', proven: subject, possession: this.stillProves(identity, now) };
    }
    if (tenantId !== facts.tenantId) return refuse('TOKEN_TENANT', subject);
    const timely = judgeTime(identity, now);
    if (timely !== null) return refuse(timely, subject);
    return this.withMaterial(facts, ({ revoked }) => {
      const refusal = judgeToken(identity, { tokensNotBefore: facts.tokensNotBefore, revoked }, now);
      if (refusal !== null) return refuse(refusal, subject);
      return this.accept(credentialId, expiresAt * 1000, facts, now);
    });
  }

  private accept(credentialId: string, endsAt: number | null, facts: Facts, now: number): ProofAccepted {
    this.lastUse.note(credentialId, facts.tenantId, now);
    return { ok: true, credentialId, endsAt };
  }

  private withMaterial(facts: Facts, decide: (material: CredentialMaterial) => ProofVerdict): Eventually<ProofVerdict> {
    const material = this.materials.peek(facts);
    return material !== undefined ? decide(material) : this.materials.load(facts).then(decide, unavailable);
  }

  private stillProves(identity: TokenIdentity, now: number): boolean {
    if (judgeTime(identity, now) !== null || this.dead.get(identity.credentialId)) return false;
    const facts = this.devices.peek('device', identity.subject)?.facts;
    const material = facts ? this.materials.peek(facts) : undefined;
    if (facts && material) return this.judgeOwn(identity, facts, material, now);
    this.lookUpOwn(identity, now).catch(() => undefined);
    return true;
  }

  private async lookUpOwn(identity: TokenIdentity, now: number): Promise<void> {
    const { facts } = await this.devices.facts('device', identity.subject);
    if (facts !== null) this.judgeOwn(identity, facts, await this.materials.load(facts), now);
  }

  private judgeOwn(identity: TokenIdentity, facts: Facts, { revoked }: CredentialMaterial, now: number): boolean {
    const good = judgeToken(identity, { tokensNotBefore: facts.tokensNotBefore, revoked }, now) === null;
    if (!good) this.dead.set(identity.credentialId, true);
    return good;
  }
}

function refuse(reason: ProofRefusal, proven: string | null = null): ProofRefused {
  return { ok: false, reason, proven, possession: false };
}

function unavailable(): ProofRefused {
  return refuse('CREDENTIALS_UNAVAILABLE');
}
