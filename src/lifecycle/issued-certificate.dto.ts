import { TextField, TimeField } from '../platform/http/fields.js';
import type { CertificateGiven } from '../pki/certificates.service.js';

/** A certificate as whoever asked for it gets it. */
export class IssuedCertificateAnswer {
  @TextField({ max: 40, description: 'Lower-case hex.' })
  serial!: string;

  @TextField({ max: 16_384, description: 'PEM.' })
  certificate!: string;

  @TextField({ max: 65_536, description: 'PEM: the issuing authority, then upwards to the root.' })
  chain!: string;

  @TimeField()
  notBefore!: string;

  @TimeField()
  notAfter!: string;

  @TextField({ max: 64, description: 'SHA-256 in lower-case hex.' })
  fingerprint!: string;

  @TextField({ optional: true, max: 8_192, description: 'PKCS #8 in PEM; shown once and kept nowhere.' })
  privateKey?: string;

  @TextField({ optional: true, max: 65_536, description: 'PKCS #12 in base64; shown once.' })
  pkcs12?: string;
}

export function showIssued(given: CertificateGiven): IssuedCertificateAnswer {
  const { serial, certificate, chain, notBefore, notAfter, fingerprint, privateKey, pkcs12 } = given;
  return {
    serial,
    certificate,
    chain,
    notBefore: notBefore.toISOString(),
    notAfter: notAfter.toISOString(),
    fingerprint,
    ...(privateKey === undefined ? {} : { privateKey }),
    ...(pkcs12 === undefined ? {} : { pkcs12 }),
  };
}
