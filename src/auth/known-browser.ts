import { createHmac, randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { equalSecrets } from '../platform/crypto/constant-time.js';
import { DataKeys } from '../platform/crypto/data-keys.js';

const PURPOSE = 'known-browser';

/**
 * Marks a browser in which somebody has logged in to an account, so that guessing by others, even from the same address, never
 * stands in that person's way. The mark opens nothing: it only chooses whose failures are counted.
 */
@Injectable()
export class KnownBrowsers {
  constructor(private readonly keys: DataKeys) {}

  /** Value of the cookie. @param account folded e-mail */
  async mark(account: string): Promise<string> {
    const nonce = randomBytes(16).toString('base64url');
    return `${nonce}.${await this.mac(nonce, account)}`;
  }

  /** What tells this browser from others, if the mark is ours and for this account. */
  async recognise(mark: string | undefined, account: string): Promise<string | null> {
    const [, nonce = '', mac = ''] = /^([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})$/.exec(mark ?? '') ?? [];
    if (nonce === '') return null;
    return equalSecrets(mac, await this.mac(nonce, account)) ? nonce : null;
  }

  private async mac(nonce: string, account: string): Promise<string> {
    const { key } = await this.keys.current(PURPOSE);
    return createHmac('sha256', key).update(`${nonce}\n${account}`).digest('base64url');
  }
}
