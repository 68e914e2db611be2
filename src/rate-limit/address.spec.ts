import { addressGroup } from './address.js';

describe('addressGroup', () => {
  it.each([
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['::FFFF:c000:0207', '192.0.2.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:DB8:1:2:ffff::', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['64:ff9b::192.0.2.33', '64:ff9b:0:0::/64'],
    ['', ''],
    ['no address', 'no address'],
  ])('takes %s for %s', (address, group) => {
    expect(addressGroup(address)).toBe(group);
  });

  it('two addresses of one /64 are one party, of two /64 two', () => {
    expect(addressGroup('2001:db8::1')).toBe(addressGroup('2001:db8::ffff:1'));
    expect(addressGroup('2001:db8::1')).not.toBe(addressGroup('2001:db8:0:1::1'));
  });
});
