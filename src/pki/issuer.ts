import { X509Certificate } from 'node:crypto';
import { readCertificate } from './certificate-fields.js';
import type { Distribution } from './extensions.js';
import { algorithmOf, keyIdOf, spkiOf, type SignatureAlgorithm } from './keys.js';

/** Who signs certificates and lists of revoked ones. */
export interface Issuer {
  /** The authority's certificate in DER. */
  readonly certificate: Buffer;
  /** Its subject name in DER: issuer of all that it signs. */
  readonly name: Buffer;
  readonly spki: Buffer;
  readonly keyId: Buffer;
  readonly algorithm: SignatureAlgorithm;
  readonly notAfter: Date;
  /** `null`: an authority that publishes nothing, such as one on a laptop. */
  readonly distribution: Distribution | null;
  sign(bytes: Buffer): Promise<Buffer>;
}

/** An issuer out of its certificate. @throws when the certificate is none of an authority, or its key signs nothing here */
export function issuerOf(certificate: Buffer, distribution: Distribution | null, sign: (algorithm: SignatureAlgorithm, bytes: Buffer) => Promise<Buffer>): Issuer {
  const parsed = new X509Certificate(certificate);
  if (!parsed.ca) throw new Error('the certificate is none of an authority');
  const algorithm = algorithmOf(parsed.publicKey);
  const spki = spkiOf(parsed.publicKey);
  const { subject, keyId } = readCertificate(certificate);
  return {
    certificate,
    name: subject,
    spki,
    keyId: keyId ?? keyIdOf(spki),
    algorithm,
    notAfter: new Date(parsed.validTo),
    distribution,
    sign: (bytes) => sign(algorithm, bytes),
  };
}
