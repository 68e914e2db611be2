import { createHmac } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { equalSecrets } from '../platform/crypto/constant-time.js';
import { DataKeys } from '../platform/crypto/data-keys.js';

const PURPOSE = 'csrf';

/** CSRF tokens of cookie sessions: a MAC of the session, so each session has one and no other session's will do. */
@Injectable()
export class CsrfTokens {
  constructor(private readonly keys: DataKeys) {}

  async of(sessionId: string): Promise<string> {
    const { key } = await this.keys.current(PURPOSE);
    return createHmac('sha256', key).update(sessionId).digest('base64url');
  }

  /** @param given the request's `X-CSRF-Token` */
  async matches(sessionId: string, given: string | string[] | undefined): Promise<boolean> {
    return typeof given === 'string' && equalSecrets(given, await this.of(sessionId));
  }
}
