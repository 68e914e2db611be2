import type { Proof } from '../credentials/credentials.gate.js';
import type { CertificateProof } from '../pki/pki.gate.js';
import type { ConnectQuestion } from './question.js';
import type { DoorReason } from './reasons.js';

/** Whom a client id names. */
export interface Subject {
  readonly kind: 'device' | 'service';
  /** The UUID alone. */
  readonly id: string;
  /** What username and client attribute say: the UUID, or `svc:<uuid>`. */
  readonly name: string;
}

export interface Claim {
  readonly subject: Subject;
  readonly proof: Proof | CertificateProof;
}

export interface IdentitySettings {
  readonly production: boolean;
  readonly brokerCert: 'pem' | 'cn';
}

const UUID_LENGTH = 36;
const SERVICE_PREFIX = 'svc:';
const CANONICAL_UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const SUFFIX = /^:[A-Za-z0-9_-]{1,32}$/;
/** Three non-empty base64url segments (RFC 7515 §7.1). */
const COMPACT_JWS = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
/** The shape of our ids in any spelling: such a client is ours to refuse, never another authenticator's. */
const OURS = /^(?:svc:)?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?::|$)/i;

/** Whom the client id names, byte for byte; `null` if it has no shape of ours. */
export function readSubject(clientid: string): Subject | null {
  // Nearly always: the id alone.
  if (clientid.length === UUID_LENGTH && CANONICAL_UUID.test(clientid)) return { kind: 'device', id: clientid, name: clientid };
  const service = clientid.startsWith(SERVICE_PREFIX);
  const start = service ? SERVICE_PREFIX.length : 0;
  const id = clientid.slice(start, start + UUID_LENGTH);
  if (!CANONICAL_UUID.test(id)) return null;
  const rest = clientid.slice(start + UUID_LENGTH);
  if (rest !== '' && !SUFFIX.test(rest)) return null;
  return { kind: service ? 'service' : 'device', id, name: service ? SERVICE_PREFIX + id : id };
}

/** Whether a password is a JWT by its shape. */
export function isCompactJws(password: string): boolean {
  return password.length > UUID_LENGTH && COMPACT_JWS.test(password);
}

/**
 * Who claims to be whom, and with which single proof, chosen by what was presented: certificate, else token, else secret.
 * Pure; refuses before anything is looked up.
 */
export function readClaim(question: ConnectQuestion, settings: IdentitySettings): Claim | DoorReason {
  const subject = readSubject(question.clientid);
  const token = isCompactJws(question.password);
  const certificate = showsCertificate(question);
  const door = refuseByListener(question.listener_kind, certificate, settings.production);
  if (certificate) return readCertified(question, subject, door, settings.brokerCert);
  if (subject === null) return 'CLIENTID_INVALID';
  if (question.username === '' && !token) return question.password === '' ? 'PROOF_MISSING' : 'USERNAME_MISSING';
  if (question.username !== '' && question.username !== subject.name) return 'USERNAME_MISMATCH';
  if (question.password === '') return 'PROOF_MISSING';
  if (door !== null) return door;
  return { subject, proof: token ? { kind: 'token', token: question.password } : { kind: 'secret', secret: question.password } };
}

/** Whether anything of a client certificate was shown: then it is the proof, and nothing else counts. */
export function showsCertificate(question: ConnectQuestion): boolean {
  return question.cert_pem !== '' || question.cert_common_name !== '' || question.cert_subject !== '';
}

function readCertified(
  question: ConnectQuestion,
  subject: Subject | null,
  door: DoorReason | null,
  brokerCert: 'pem' | 'cn',
): Claim | DoorReason {
  if (question.cert_pem === '' && brokerCert === 'pem') return 'CERT_PEM_MISSING';
  if (subject === null) return 'CLIENTID_INVALID';
  if (question.username !== '' && question.username !== subject.name) return 'USERNAME_MISMATCH';
  if (door !== null) return door;
  const proof: CertificateProof = question.cert_pem === ''
    ? { kind: 'certificate', commonName: question.cert_common_name }
    : { kind: 'certificate', certificate: question.cert_pem };
  return { subject, proof };
}

function refuseByListener(kind: string, certificate: boolean, production: boolean): DoorReason | null {
  switch (kind) {
    case '':
      return production ? 'LISTENER_MISSING' : null;
    case 'mtls':
      return certificate ? null : 'LISTENER_MISMATCH';
    case 'token':
    case 'plain':
      return certificate ? 'LISTENER_MISMATCH' : null;
    default:
      return 'LISTENER_MISMATCH';
  }
}

/** Whether anything about the client has the shape of one of ours: then no other authenticator may decide about it. */
export function looksLikeOurs(question: ConnectQuestion): boolean {
  return [question.clientid, question.username, question.cert_common_name].some((text) => OURS.test(text))
    || question.clientid.startsWith(SERVICE_PREFIX)
    || question.username.startsWith(SERVICE_PREFIX)
    || question.cert_pem !== ''
    || isCompactJws(question.password)
    || /^pc[sx]_/.test(question.password);
}
