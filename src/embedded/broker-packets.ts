import type { Socket } from 'node:net';

/**
 * Follows the frames of an MQTT stream (3.1.1 §2.2) and tells as soon as a packet announces more bytes than allowed,
 * before its body has arrived. Holds no bytes.
 */
export class PacketSizeGuard {
  private body = 0;
  private lengthBytes = -1;
  private announced = 0;

  constructor(private readonly maxBytes: number) {}

  /** False if a packet in `chunk` is too large or its length field is malformed; the stream is lost then. */
  accept(chunk: Uint8Array): boolean {
    let at = 0;
    while (at < chunk.length) {
      if (this.body > 0) {
        const taken = Math.min(this.body, chunk.length - at);
        this.body -= taken;
        at += taken;
      } else if (this.lengthBytes < 0) {
        this.lengthBytes = 0;
        this.announced = 0;
        at += 1;
      } else if (!this.takeLengthByte(chunk[at++] ?? 0)) {
        return false;
      }
    }
    return true;
  }

  private takeLengthByte(byte: number): boolean {
    this.announced += (byte & 0x7f) * 128 ** this.lengthBytes;
    this.lengthBytes += 1;
    if (1 + this.lengthBytes + this.announced > this.maxBytes) return false;
    if (byte & 0x80) return this.lengthBytes < 4;
    this.body = this.announced;
    this.lengthBytes = -1;
    return true;
  }
}

/**
 * Destroys the socket once a packet is larger than `maxBytes`, so that the parser behind never gathers it. aedes has no
 * such limit; it pulls with `read()`, which is where the bytes pass by.
 */
export function limitPacketSize(socket: Socket, maxBytes: number): void {
  const guard = new PacketSizeGuard(maxBytes);
  const read = socket.read.bind(socket);
  socket.read = (size?: number): unknown => {
    const chunk: unknown = read(size);
    if (!Buffer.isBuffer(chunk) || guard.accept(chunk)) return chunk;
    socket.destroy(new Error(`packet of more than ${maxBytes} bytes`));
    return null;
  };
}
