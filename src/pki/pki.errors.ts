import { errorsOf, type ErrorCatalogue } from '../platform/problem/app-error.js';

export const PKI_ERRORS = {
  CSR_MALFORMED: {
    status: 400,
    title: 'The certificate request cannot be read',
    meaning: '`csr` is a PKCS #10 request (RFC 2986) in PEM with the label CERTIFICATE REQUEST, at most 16 KiB.',
  },
  CSR_SIGNATURE: {
    status: 400,
    title: 'The certificate request is not signed by its own key',
    meaning: 'The signature in the request must verify under the public key in it: it proves that the private key is at hand.',
  },
  CERT_REQUEST_UNCLEAR: {
    status: 400,
    title: 'Say where the key comes from',
    meaning: 'Exactly one of `csr` and `generate: true`; `keyType` and `password` go with `generate` only.',
  },
  CERT_PROFILE_UNKNOWN: {
    status: 400,
    title: 'No such profile',
    meaning: 'Devices get certificates of the profile `device`, service accounts of `service`. The other profiles are not asked for.',
  },
  CERT_TTL_INVALID: {
    status: 400,
    title: 'The lifetime of the certificate is out of bounds',
    meaning: '`ttl` is seconds, or a number with `s`, `m`, `h` or `d`: at least one minute and at most 8760 h. It ends with its issuer at the latest.',
  },
  KEY_WEAK: {
    status: 422,
    title: 'The key is not certified',
    meaning: 'Keys are EC on P-256 or P-384, or RSA of 2048 to 4096 bits with an odd exponent from 65537; keys known to be weak or published are refused. `detail` says which.',
  },
  KEY_REUSED: {
    status: 409,
    title: 'The key belongs to another device',
    meaning: 'The public key was certified for another device before. A key is made on each device: look for one that was copied with an image.',
  },
  CERT_NOT_FOUND: {
    status: 404,
    title: 'No such certificate',
    meaning: 'No certificate with this serial was issued in the tenant.',
  },
  CERT_ALREADY_REVOKED: {
    status: 409,
    title: 'The certificate is revoked already',
    meaning: 'It was revoked before; reason and time of then stay as they are.',
  },
  CERT_ENDED: {
    status: 409,
    title: 'The certificate has ended',
    meaning: 'A certificate that has expired connects nobody and need not be revoked.',
  },
  AUTHORITY_KEY_ELSEWHERE: {
    status: 409,
    title: 'The key of the root is not here',
    meaning: 'The root was imported as a certificate only, so it signs no further authority from here: make a request with `POST /authorities/requests`, have it signed, and import it with `POST /authorities`.',
  },
  AUTHORITY_CERT_MALFORMED: {
    status: 400,
    title: 'The certificate cannot be read',
    meaning: '`certificate` is exactly one X.509 certificate in PEM with the label CERTIFICATE, at most 16 KiB.',
  },
  AUTHORITY_CERT_REFUSED: {
    status: 422,
    title: 'The certificate cannot be an authority here',
    meaning: '`detail` names everything that speaks against it: basicConstraints, path length, keyUsage, purposes, critical extensions, algorithm, key, validity, or who signed it.',
  },
  AUTHORITY_REQUEST_UNKNOWN: {
    status: 409,
    title: 'No request waits for this certificate',
    meaning: 'Its public key is none that `POST /authorities/requests` made for this tenant, the request was used already, or it is older than 90 days.',
  },
  AUTHORITY_EXISTS: {
    status: 409,
    title: 'The certificate was imported already',
    meaning: 'An authority with this very certificate is there.',
  },
  AUTHORITY_NOT_FOUND: {
    status: 404,
    title: 'No such authority',
    meaning: 'The tenant has no issuing authority with this id.',
  },
  AUTHORITY_IN_USE: {
    status: 409,
    title: 'Something rests on the authority',
    meaning: 'Only an authority that was replaced an hour ago or longer ends, and only once none of its clients’ certificates is good any more; `detail` says what is in the way.',
  },
} as const satisfies ErrorCatalogue;

export type PkiErrorCode = keyof typeof PKI_ERRORS;

export const pkiError = errorsOf(PKI_ERRORS);
