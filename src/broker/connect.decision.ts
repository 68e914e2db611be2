import type { ProofRefusal, ProofVerdict } from '../credentials/credentials.gate.js';
import type { Facts } from '../devices/facts.js';
import type { CertificateVerdict, CertRefusal } from '../pki/pki.gate.js';
import type { DoorReason } from './reasons.js';

/** On stale facts a session is short: five minutes, then it must ask again. */
const STALE_SESSION_MS = 300_000;
/** Sessions end spread over a tenth of their length, so that they do not all come back at once. */
const JITTER_SHARE = 0.1;

export interface ConnectAllowed {
  readonly allow: true;
  /** Integer seconds since the epoch, always in the future. */
  readonly expireAt: number;
  readonly credentialId: string;
}

export interface ConnectRefused {
  readonly allow: false;
  readonly reason: DoorReason | ProofRefusal | CertRefusal;
}

export type ConnectVerdict = ConnectAllowed | ConnectRefused;

export interface ConnectInput {
  readonly facts: Facts;
  /** Facts were last confirmed before Postgres went away. */
  readonly stale: boolean;
  readonly proof: ProofVerdict | CertificateVerdict;
  /** Milliseconds. */
  readonly now: number;
  /** 0 ≤ jitter < 1, drawn by the caller. */
  readonly jitter: number;
  readonly sessionMaxMs: number;
}

/**
 * Whether the subject's own state lets it in at all; judged before any credential is looked at.
 * PENDING and QUARANTINED are let in: their rules are what confines them.
 */
export function judgeStanding(facts: Facts, stale: boolean): DoorReason | null {
  if (facts.tenantStatus !== 'ACTIVE') return 'TENANT_FROZEN';
  switch (facts.status) {
    case 'ACTIVE':
      return null;
    case 'PENDING':
    case 'QUARANTINED':
      return facts.kind === 'device' && !stale ? null : stale ? 'FACTS_STALE' : 'SERVICE_DISABLED';
    case 'SUSPENDED':
      return 'DEVICE_SUSPENDED';
    case 'DECOMMISSIONED':
      return 'DEVICE_DECOMMISSIONED';
    default:
      return facts.kind === 'service' ? 'SERVICE_DISABLED' : 'DEVICE_SUSPENDED';
  }
}

/** The verdict on a CONNECT: facts, proof and clock in, answer out. */
export function decideConnect({ facts, stale, proof, now, jitter, sessionMaxMs }: ConnectInput): ConnectVerdict {
  const standing = judgeStanding(facts, stale);
  if (standing !== null) return { allow: false, reason: standing };
  if (!proof.ok) return { allow: false, reason: proof.reason };
  const longest = stale ? Math.min(STALE_SESSION_MS, sessionMaxMs) : sessionMaxMs * (1 - JITTER_SHARE * jitter);
  const end = Math.floor(Math.min(proof.endsAt ?? Number.POSITIVE_INFINITY, now + longest) / 1000);
  // A proof that ends within this second has ended: a broker refuses an expiry that is not in the future.
  if (end <= Math.floor(now / 1000)) return { allow: false, reason: 'PROOF_ENDED' };
  return { allow: true, expireAt: end, credentialId: proof.credentialId };
}
