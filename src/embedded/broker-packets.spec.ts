import { PacketSizeGuard } from './broker-packets.js';

function frame(bodyBytes: number): Buffer {
  const length: number[] = [];
  let rest = bodyBytes;
  do {
    length.push((rest % 128) | (rest >= 128 ? 0x80 : 0));
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return Buffer.concat([Buffer.from([0x30, ...length]), Buffer.alloc(bodyBytes, 0xff)]);
}

describe('the packet size guard', () => {
  it('counts the whole packet, header included', () => {
    expect(new PacketSizeGuard(300).accept(frame(297))).toBe(true);
    expect(new PacketSizeGuard(300).accept(frame(298))).toBe(false);
  });

  it('says no when the length has arrived, not the body', () => {
    expect(new PacketSizeGuard(16_384).accept(frame(16_384).subarray(0, 4))).toBe(false);
  });

  it('follows a stream however it is cut', () => {
    const stream = Buffer.concat([0, 5, 127, 128, 290, 0, 297, 298].map(frame));
    for (let size = 1; size < 50; size += 1) {
      const guard = new PacketSizeGuard(300);
      let refusedAt = -1;
      for (let at = 0; at < stream.length && refusedAt < 0; at += size) {
        if (!guard.accept(stream.subarray(at, at + size))) refusedAt = at;
      }
      // The offending length field ends 298 bytes before the end.
      const expected = stream.length - 298 - 1;
      expect(refusedAt).toBe(expected - (expected % size));
    }
  });

  it('refuses a length field that does not end', () => {
    expect(new PacketSizeGuard(2 ** 40).accept(Buffer.from([0x30, 0x80, 0x80, 0x80, 0x80]))).toBe(false);
  });
});
