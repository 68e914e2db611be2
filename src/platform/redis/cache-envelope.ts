import { createHmac, hash, timingSafeEqual } from 'node:crypto';

/** What the shared store holds for an entry, and when its source confirmed it (ms since the epoch). */
export interface Envelope {
  readonly confirmedAt: number;
  readonly text: string;
}

/**
 * Seals cache entries and invalidations for a store that others may write to. The MAC (HMAC-SHA256)
 * covers the key's full name, the version and the time of confirmation, so that no entry can be
 * forged, moved to another key, raised to another version or made to look younger.
 */
export class EnvelopeSealer {
  constructor(
    private readonly name: string,
    private readonly macKey: Buffer,
  ) {
    if (macKey.length < 32) throw new RangeError('the MAC key of a cache must have at least 32 bytes');
  }

  /** The entry's key in the store: the id is hashed, so that keys are short and name nobody. */
  key(id: string): string {
    return `${this.name}:${hash('sha256', id, 'base64url')}`;
  }

  seal(key: string, version: number, envelope: Envelope): string {
    const mac = this.mac('value', key, String(version), String(envelope.confirmedAt), envelope.text);
    return `${mac.toString('base64url')}.${envelope.confirmedAt}.${envelope.text}`;
  }

  /** Answers null for whatever was not sealed by us under this key and version. */
  open(key: string, version: number, sealed: string): Envelope | null {
    const first = sealed.indexOf('.');
    const second = sealed.indexOf('.', first + 1);
    if (first < 0 || second < 0) return null;
    const written = sealed.slice(first + 1, second);
    const text = sealed.slice(second + 1);
    const mac = this.mac('value', key, String(version), written, text);
    if (!equal(mac, sealed.slice(0, first))) return null;
    return { confirmedAt: Number(written), text };
  }

  /** The message that tells other processes that everything of `id` below `version` is outdated. */
  announce(id: string, version: number): string {
    const mac = this.mac('invalidation', this.key(id), String(version)).toString('base64url');
    return JSON.stringify({ name: this.name, id, version, mac });
  }

  /** Answers null for messages of other caches and for those that are not ours. */
  hear(message: string): { readonly id: string; readonly version: number } | null {
    let heard: unknown;
    try {
      heard = JSON.parse(message);
    } catch {
      return null;
    }
    if (typeof heard !== 'object' || heard === null) return null;
    const { name, id, version, mac } = heard as Record<string, unknown>;
    if (name !== this.name || typeof id !== 'string' || typeof version !== 'number' || typeof mac !== 'string') return null;
    if (!equal(this.mac('invalidation', this.key(id), String(version)), mac)) return null;
    return { id, version };
  }

  /** Every part goes in with its length before it, so that no two lists of parts give the same bytes. */
  private mac(...parts: readonly string[]): Buffer {
    const hmac = createHmac('sha256', this.macKey);
    for (const part of parts) hmac.update(`${Buffer.byteLength(part)}:`).update(part);
    return hmac.digest();
  }
}

function equal(mac: Buffer, encoded: string): boolean {
  const given = Buffer.from(encoded, 'base64url');
  return given.length === mac.length && timingSafeEqual(given, mac);
}
