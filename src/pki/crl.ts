import { bits, enumerated, explicit, header, integer, sequence, time, unsigned } from './der.js';
import { authorityKeyIdentifier, extension, OID } from './extensions.js';
import type { Issuer } from './issuer.js';
import { algorithmIdentifier } from './keys.js';

/** Reasons of RFC 5280 §5.3.1 that a person may give; `unspecified` is left out of the list, as it should be. */
export const REVOKE_REASONS = [
  'unspecified', 'keyCompromise', 'cACompromise', 'affiliationChanged', 'superseded', 'cessationOfOperation', 'privilegeWithdrawn',
] as const;
export type RevokeReason = (typeof REVOKE_REASONS)[number];

const REASON_CODES: Readonly<Record<RevokeReason, number>> = {
  unspecified: 0,
  keyCompromise: 1,
  cACompromise: 2,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
  privilegeWithdrawn: 9,
};

export function reasonCode(reason: RevokeReason): number {
  return REASON_CODES[reason];
}

/** One entry of revokedCertificates, ready to be put into any list: it never changes once it is made. */
export function crlEntry(serial: string, revokedAt: Date, reason: RevokeReason): Buffer {
  const code = REASON_CODES[reason];
  const reasons = code === 0 ? [] : [sequence(extension(OID.reasonCode, false, enumerated(code)))];
  return sequence(unsigned(Buffer.from(serial, 'hex')), time(revokedAt), ...reasons);
}

export interface CrlContents {
  readonly number: bigint;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  /** Entries as `crlEntry` makes them, in chunks of any size; nothing: the list is empty. */
  readonly entries: readonly Buffer[];
}

/** A version 2 list (RFC 5280 §5.1); an empty one leaves revokedCertificates out. Signed on the thread pool. */
export async function buildCrl(issuer: Issuer, { number, thisUpdate, nextUpdate, entries }: CrlContents): Promise<Buffer> {
  const head = Buffer.concat([integer(1), algorithmIdentifier(issuer.algorithm), issuer.name, time(thisUpdate), time(nextUpdate)]);
  const tail = explicit(0, sequence(
    authorityKeyIdentifier(issuer.keyId),
    extension(OID.crlNumber, false, integer(number)),
  ));
  const revokedLength = entries.reduce((sum, entry) => sum + entry.length, 0);
  const revokedHeader = revokedLength === 0 ? [] : [header(0x30, revokedLength)];
  const parts = [head, ...revokedHeader, ...entries, tail];
  const signed = Buffer.concat([header(0x30, parts.reduce((sum, part) => sum + part.length, 0)), ...parts]);
  const signature = [algorithmIdentifier(issuer.algorithm), bits(await issuer.sign(signed))];
  return Buffer.concat([header(0x30, signed.length + signature.reduce((sum, part) => sum + part.length, 0)), signed, ...signature]);
}

/** A multiple of the 48 bytes of a line of PEM. */
const SLICE_BYTES = 48 * 2048;

/** As brokers read it: the label is `X509 CRL`, nothing else is understood. Piece by piece, so that others have their turn meanwhile. */
export async function crlPem(der: Buffer): Promise<Buffer> {
  const pieces = [Buffer.from('-----BEGIN X509 CRL-----\n')];
  for (let from = 0; from < der.length; from += SLICE_BYTES) {
    if (from > 0) await nextTurn();
    const lines = der.toString('base64', from, Math.min(from + SLICE_BYTES, der.length)).match(/.{1,64}/g) ?? [];
    pieces.push(Buffer.from(`${lines.join('\n')}\n`, 'latin1'));
  }
  pieces.push(Buffer.from('-----END X509 CRL-----\n'));
  return Buffer.concat(pieces);
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
