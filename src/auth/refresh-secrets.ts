import { timingSafeEqual } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { DataKeys } from '../platform/crypto/data-keys.js';
import { digestOf, isGenuine, makeRefreshToken, type RefreshToken } from './refresh-token.js';

const PURPOSE = 'refresh-token';
const KEY_ID_BYTES = 16;

/** `newest`: the one token that refreshes. `spent`: ours, but a newer one exists. `foreign`: not ours, or of a retired key. */
export type RefreshStanding = 'newest' | 'spent' | 'foreign';

/** Refresh tokens under a data key. Kept of each: id of the key (16 bytes), then the digest (32 bytes). */
@Injectable()
export class RefreshSecrets {
  constructor(private readonly keys: DataKeys) {}

  async make(userId: string, sessionId: string): Promise<{ token: string; digest: Buffer }> {
    const { id, key } = await this.keys.current(PURPOSE);
    const { token, bytes } = makeRefreshToken(key, userId, sessionId);
    return { token, digest: Buffer.concat([Buffer.from(id.replaceAll('-', ''), 'hex'), digestOf(key, bytes)]) };
  }

  async standing(token: RefreshToken, kept: Buffer): Promise<RefreshStanding> {
    const hex = kept.subarray(0, KEY_ID_BYTES).toString('hex');
    const key = await this.keys.find(hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5'));
    if (key?.purpose !== PURPOSE || !isGenuine(key.key, token)) return 'foreign';
    const digest = kept.subarray(KEY_ID_BYTES);
    const actual = digestOf(key.key, token.bytes);
    return digest.length === actual.length && timingSafeEqual(digest, actual) ? 'newest' : 'spent';
  }
}
