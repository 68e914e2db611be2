import 'reflect-metadata';
import { createHash } from 'node:crypto';
import { OCSPRequest } from '@peculiar/asn1-ocsp';
import { AsnConvert } from '@peculiar/asn1-schema';
import { bits, enumerated, explicit, generalizedTime, implicit, implicitOf, NULL, octets, oid, sequence, unsigned } from './der.js';
import { partsOf, readOne } from './der-reader.js';
import { extension, OID } from './extensions.js';
import { reasonCode, type RevokeReason } from './crl.js';
import { algorithmIdentifier, type SignatureAlgorithm } from './keys.js';

/** Hashes in which a client may name the issuer. */
const HASHES: Readonly<Record<string, string>> = { '1.3.14.3.2.26': 'sha1', '2.16.840.1.101.3.4.2.1': 'sha256' };
/** RFC 9654 §2.1: a nonce has 1 to 128 octets. */
const MAX_NONCE_BYTES = 128;
const MAX_ASKED = 16;

/** Whose status is asked (CertID of RFC 6960 §4.1.1). */
export interface AskedCertificate {
  readonly hash: string;
  readonly hashOid: string;
  readonly issuerNameHash: Buffer;
  readonly issuerKeyHash: Buffer;
  /** Lower-case hex as rows keep it. */
  readonly serial: string;
  readonly serialBytes: Buffer;
}

export interface OcspQuestion {
  readonly asked: readonly AskedCertificate[];
  readonly nonce: Buffer | null;
}

export type OcspStatus =
  | { readonly kind: 'good' }
  | { readonly kind: 'revoked'; readonly at: Date; readonly reason: RevokeReason }
  | { readonly kind: 'unknown' };

/** OCSPResponseStatus without a body (RFC 6960 §4.2.1). */
export const OCSP_MALFORMED = sequence(enumerated(1));
export const OCSP_INTERNAL_ERROR = sequence(enumerated(2));
export const OCSP_UNAUTHORIZED = sequence(enumerated(6));

/** The question in a request; `null`: it is malformed. Total: never throws. */
export function readOcspRequest(der: Buffer): OcspQuestion | null {
  try {
    const { tbsRequest } = AsnConvert.parse(der, OCSPRequest);
    const asked = [...tbsRequest.requestList].map(({ reqCert }) => {
      const hashOid = reqCert.hashAlgorithm.algorithm;
      const serialBytes = Buffer.from(reqCert.serialNumber);
      return {
        hash: HASHES[hashOid] ?? '',
        hashOid,
        issuerNameHash: Buffer.from(reqCert.issuerNameHash.buffer),
        issuerKeyHash: Buffer.from(reqCert.issuerKeyHash.buffer),
        serial: serialBytes.toString('hex').replace(/^(?:00)+(?=.)/, ''),
        serialBytes,
      };
    });
    if (asked.length === 0 || asked.length > MAX_ASKED) return null;
    const nonce = tbsRequest.requestExtensions?.find(({ extnID }) => extnID === OID.ocspNonce);
    if (nonce === undefined) return { asked, nonce: null };
    const value = Buffer.from(nonce.extnValue.buffer);
    // Some clients leave the inner OCTET STRING out; whatever stood there is given back as it stood.
    return value.length === 0 || value.length > MAX_NONCE_BYTES + 3 ? null : { asked, nonce: value };
  } catch {
    return null;
  }
}

/** Whether the question means this authority: its name and key under the hash that the client chose. */
export function namesIssuer(asked: AskedCertificate, issuer: { readonly name: Buffer; readonly spki: Buffer }): boolean {
  if (asked.hash === '') return false;
  const [, key] = partsOf(readOne(issuer.spki));
  const digest = (bytes: Buffer): Buffer => createHash(asked.hash).update(bytes).digest();
  return asked.issuerNameHash.equals(digest(issuer.name)) && asked.issuerKeyHash.equals(digest((key?.contents ?? Buffer.alloc(0)).subarray(1)));
}

export interface OcspAnswer {
  readonly asked: AskedCertificate;
  readonly status: OcspStatus;
}

export interface OcspResponder {
  readonly certificate: Buffer;
  readonly keyId: Buffer;
  readonly algorithm: SignatureAlgorithm;
  sign(bytes: Buffer): Promise<Buffer>;
}

/** A successful BasicOCSPResponse with the responder's certificate in it (RFC 6960 §4.2.1). */
export async function buildOcspResponse(
  responder: OcspResponder,
  answers: readonly OcspAnswer[],
  times: { readonly producedAt: Date; readonly thisUpdate: Date; readonly nextUpdate: Date },
  nonce: Buffer | null,
): Promise<Buffer> {
  const data = sequence(
    explicit(2, octets(responder.keyId)),
    generalizedTime(times.producedAt),
    sequence(...answers.map(({ asked, status }) => sequence(
      certId(asked),
      certStatus(status),
      generalizedTime(times.thisUpdate),
      explicit(0, generalizedTime(times.nextUpdate)),
    ))),
    ...(nonce === null ? [] : [explicit(1, sequence(extension(OID.ocspNonce, false, nonce)))]),
  );
  const basic = sequence(
    data,
    algorithmIdentifier(responder.algorithm),
    bits(await responder.sign(data)),
    explicit(0, sequence(responder.certificate)),
  );
  return sequence(enumerated(0), explicit(0, sequence(oid(OID.ocspBasic), octets(basic))));
}

function certId({ hashOid, issuerNameHash, issuerKeyHash, serialBytes }: AskedCertificate): Buffer {
  return sequence(sequence(oid(hashOid), NULL), octets(issuerNameHash), octets(issuerKeyHash), unsigned(serialBytes));
}

function certStatus(status: OcspStatus): Buffer {
  switch (status.kind) {
    case 'good':
      return implicit(0, Buffer.alloc(0));
    case 'unknown':
      return implicit(2, Buffer.alloc(0));
    case 'revoked': {
      const code = reasonCode(status.reason);
      return implicitOf(1, generalizedTime(status.at), ...(code === 0 ? [] : [explicit(0, enumerated(code))]));
    }
  }
}
