/**
 * Why a client secret or device token was refused: a closed set. `docs/errors.md` prints it, metrics count by it, the audit log
 * names it. None of it is ever told to the client.
 */
export const PROOF_REFUSALS = {
  SECRET_UNKNOWN: 'The client secret is none of this device or service account.',
  SECRET_NOT_YET: 'The client secret is right, but its validity begins later.',
  SECRET_EXPIRED: 'The client secret is right, but it has ended: it expired, or its overlap after a rotation is over.',
  SECRET_REVOKED: 'The client secret is right, but it was revoked.',
  TOKEN_MALFORMED: 'The token is no compact JWS of ours: segments, base64url, JSON, a member of the wrong type, or above 15 KiB.',
  TOKEN_KEY_UNKNOWN: 'No key that still verifies has the `kid` of the token.',
  TOKEN_SIGNATURE: 'The signature is wrong under the key that `kid` names, or `alg` is not the algorithm of that key.',
  TOKEN_CLAIMS: 'It is no device token of this installation: `typ`, `iss`, `aud` or `scope` say something else.',
  TOKEN_TOO_LONG: 'The token claims to live longer than 24 h, whoever signed it.',
  TOKEN_EXPIRED: 'The token has ended.',
  TOKEN_NOT_YET: 'The token was issued more than 60 s in the future.',
  TOKEN_REVOKED: 'The token, or the secret that it was got with, was revoked.',
  TOKEN_SUPERSEDED: 'The token was issued before the line that was drawn for this device (`tokensNotBefore`).',
  TOKEN_SUBJECT: 'The token is genuine, but of another device than the client id names.',
  TOKEN_TENANT: 'The token names another tenant than the one that the device belongs to.',
  PROOF_NOT_ALLOWED: 'The device may not connect with this kind of proof (`allowedProofs`).',
  CREDENTIALS_UNAVAILABLE: 'Neither a cache nor Postgres could tell about the credentials: refused.',
} as const;

export type ProofRefusal = keyof typeof PROOF_REFUSALS;
