import { isIP, isIPv6 } from 'node:net';
import { boolean, explicit, implicit, implicitOf, integer, namedBits, octets, oid, sequence, setOf, utf8 } from './der.js';

/** Extension identifiers of RFC 5280 §4.2 and §5.2, and of RFC 6960. */
export const OID = {
  commonName: '2.5.4.3',
  organization: '2.5.4.10',
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  crlNumber: '2.5.29.20',
  reasonCode: '2.5.29.21',
  crlDistributionPoints: '2.5.29.31',
  certificatePolicies: '2.5.29.32',
  authorityKeyIdentifier: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  authorityInfoAccess: '1.3.6.1.5.5.7.1.1',
  ocsp: '1.3.6.1.5.5.7.48.1',
  caIssuers: '1.3.6.1.5.5.7.48.2',
  ocspBasic: '1.3.6.1.5.5.7.48.1.1',
  ocspNonce: '1.3.6.1.5.5.7.48.1.2',
  ocspNoCheck: '1.3.6.1.5.5.7.48.1.5',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  ocspSigning: '1.3.6.1.5.5.7.3.9',
} as const;

/** Bits of keyUsage (RFC 5280 §4.2.1.3). */
export const KEY_USAGE = { digitalSignature: 0, keyEncipherment: 2, keyCertSign: 5, cRLSign: 6 } as const;
export type KeyUsage = keyof typeof KEY_USAGE;

/** Where a certificate says that its issuer's papers are. */
export interface Distribution {
  readonly crl: string;
  readonly ocsp: string;
  readonly caIssuers: string;
}

export type AltName = { readonly uri: string } | { readonly dns: string } | { readonly ip: string };

/** A distinguished name of an optional organization and a common name. */
export function name(commonName: string, organization?: string): Buffer {
  const attribute = (id: string, text: string): Buffer => setOf(sequence(oid(id), utf8(text)));
  return sequence(...(organization === undefined ? [] : [attribute(OID.organization, organization)]), attribute(OID.commonName, commonName));
}

/** `Extension` of RFC 5280 §4.1; `critical` is left out where it is false, its default. */
export function extension(id: string, critical: boolean, value: Buffer): Buffer {
  return sequence(oid(id), ...(critical ? [boolean(true)] : []), octets(value));
}

export function basicConstraints(ca: boolean, pathLength?: number): Buffer {
  const value = ca ? sequence(boolean(true), ...(pathLength === undefined ? [] : [integer(pathLength)])) : sequence();
  return extension(OID.basicConstraints, true, value);
}

export function keyUsage(usages: readonly KeyUsage[]): Buffer {
  return extension(OID.keyUsage, true, namedBits(usages.map((usage) => KEY_USAGE[usage])));
}

export function extendedKeyUsage(purposes: readonly string[]): Buffer {
  return extension(OID.extendedKeyUsage, false, sequence(...purposes.map(oid)));
}

export function subjectKeyIdentifier(keyId: Buffer): Buffer {
  return extension(OID.subjectKeyIdentifier, false, octets(keyId));
}

export function authorityKeyIdentifier(keyId: Buffer): Buffer {
  return extension(OID.authorityKeyIdentifier, false, sequence(implicit(0, keyId)));
}

export function subjectAltName(names: readonly AltName[]): Buffer {
  return extension(OID.subjectAltName, false, sequence(...names.map(generalName)));
}

export function crlDistributionPoints(url: string): Buffer {
  const point = sequence(explicit(0, implicitOf(0, generalName({ uri: url }))));
  return extension(OID.crlDistributionPoints, false, sequence(point));
}

export function authorityInfoAccess({ ocsp, caIssuers }: Distribution): Buffer {
  return extension(OID.authorityInfoAccess, false, sequence(
    sequence(oid(OID.ocsp), generalName({ uri: ocsp })),
    sequence(oid(OID.caIssuers), generalName({ uri: caIssuers })),
  ));
}

function generalName(alt: AltName): Buffer {
  if ('uri' in alt) return implicit(6, Buffer.from(alt.uri, 'latin1'));
  if ('dns' in alt) return implicit(2, Buffer.from(alt.dns, 'latin1'));
  return implicit(7, addressBytes(alt.ip));
}

function addressBytes(text: string): Buffer {
  if (isIP(text) === 4) return Buffer.from(text.split('.').map(Number));
  if (!isIPv6(text)) throw new Error(`${text} is no IP address`);
  const [head = '', tail] = text.split('::');
  const groups = (part: string): number[] => (part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16)));
  const before = groups(head);
  const after = tail === undefined ? [] : groups(tail);
  const all = [...before, ...Array<number>(8 - before.length - after.length).fill(0), ...after];
  return Buffer.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}
