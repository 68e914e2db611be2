import { bits, implicitOf, integer, oid, sequence, setOf, toPem } from './der.js';
import { basicConstraints, keyUsage, name } from './extensions.js';
import { algorithmIdentifier, type SignatureAlgorithm } from './keys.js';

/** `extensionRequest` (RFC 2985 §5.4.2). */
const EXTENSION_REQUEST = '1.2.840.113549.1.9.14';

/**
 * A request for the certificate of an issuing authority (PKCS #10, RFC 2986 §4) in PEM, signed by its own key; it asks for what the
 * import will demand, so that a signer may copy it.
 */
export async function authorityRequest(
  { commonName, organization, spki, algorithm }: {
    readonly commonName: string; readonly organization: string; readonly spki: Buffer; readonly algorithm: SignatureAlgorithm;
  },
  sign: (bytes: Buffer) => Promise<Buffer>,
): Promise<string> {
  const wanted = sequence(basicConstraints(true, 0), keyUsage(['digitalSignature', 'keyCertSign', 'cRLSign']));
  const information = sequence(
    integer(0), name(commonName, organization), spki, implicitOf(0, sequence(oid(EXTENSION_REQUEST), setOf(wanted))),
  );
  return toPem('CERTIFICATE REQUEST', sequence(information, algorithmIdentifier(algorithm), bits(await sign(information))));
}
