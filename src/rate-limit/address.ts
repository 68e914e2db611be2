import { isIPv6 } from 'node:net';

/**
 * What one party can be taken to hold: an IPv4 address, or the /64 of an IPv6 address, whose owner has
 * all the rest to choose from. IPv4 written as IPv6 counts as IPv4. Other text is answered as it came.
 */
export function addressGroup(address: string): string {
  const bare = address.split('%', 1)[0] ?? '';
  if (!isIPv6(bare)) return address;
  const dotted = /:(\d+\.\d+\.\d+\.\d+)$/.exec(bare);
  const groups = expand(dotted ? bare.slice(0, -dotted[1]!.length) + hexOf(dotted[1]!) : bare);
  const mapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff;
  if (mapped) return [groups[6]! >> 8, groups[6]! & 255, groups[7]! >> 8, groups[7]! & 255].join('.');
  return `${groups.slice(0, 4).map((group) => group.toString(16)).join(':')}::/64`;
}

/** The eight groups of an address that `isIPv6` accepts (RFC 4291 §2.2). */
function expand(address: string): number[] {
  const [head = '', tail] = address.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => '0');
  return [...left, ...zeros, ...right].map((group) => Number.parseInt(group, 16));
}

function hexOf(dotted: string): string {
  const [a = 0, b = 0, c = 0, d = 0] = dotted.split('.').map(Number);
  return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
}
