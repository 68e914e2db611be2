import { BlockList, isIP } from 'node:net';

const V4_BITS = 32;
const V6_BITS = 128;

/** Whether the text is a network in CIDR form, or a single address. */
export function isNetwork(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/');
  const family = isIP(address);
  if (family === 0 || rest.length > 0) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? V4_BITS : V6_BITS));
}

/** Whether an address lies within one of the networks; an IPv4 address written as IPv6 (RFC 4291 §2.5.5.2) counts as IPv4. */
export function liesWithin(address: string, networks: readonly string[]): boolean {
  const bare = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address;
  const family = isIP(bare);
  if (family === 0) return false;
  const [kind, bits] = family === 4 ? (['ipv4', V4_BITS] as const) : (['ipv6', V6_BITS] as const);
  const list = new BlockList();
  for (const network of networks) {
    const [base = '', prefix = bits] = network.split('/');
    // A block list holds IPv4 addresses to lie within ::/0; whoever writes an IPv6 network means IPv6.
    if (isIP(base) === family) list.addSubnet(base, Number(prefix), kind);
  }
  return list.check(bare, kind);
}
