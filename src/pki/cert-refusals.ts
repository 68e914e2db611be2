/**
 * Why a client certificate was refused: a closed set. `docs/errors.md` prints it, metrics count by it, the audit log names it.
 * None of it is ever told to the client.
 */
export const CERT_REFUSALS = {
  CERT_MALFORMED: 'What the broker sent as `cert_pem` is no X.509 certificate.',
  CERT_UNTRUSTED: 'The certificate was not issued by an authority of this installation.',
  CERT_IDENTITY: 'The certificate does not name exactly one of ours: one CN and one SAN URI that say the same.',
  CERT_SUBJECT: 'The certificate is genuine, but of another device than the client id names.',
  CERT_TENANT: 'The certificate names another tenant than the one that the device belongs to, or was issued by another tenant’s authority.',
  CERT_USAGE: 'The certificate is not for clients (clientAuth), or it is an authority’s.',
  CERT_NOT_YET: 'The validity of the certificate begins later.',
  CERT_EXPIRED: 'The certificate has ended.',
  CERT_UNKNOWN: 'An authority of ours signed it, but no certificate with this serial is recorded for the device.',
  CERT_REVOKED: 'The certificate was revoked.',
  CERT_SUPERSEDED: 'The certificate was renewed, and its overlap is over.',
  CERT_NOT_ALLOWED: 'The device may not connect with a certificate (`allowedProofs`).',
  CERT_STATUS_UNAVAILABLE: 'Neither a cache nor Postgres could tell about the certificate: refused, since nothing is known.',
} as const;

export type CertRefusal = keyof typeof CERT_REFUSALS;
