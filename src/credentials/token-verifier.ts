import { hash } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { CONFIG, type Config } from '../platform/config/config.js';
import { Lru } from '../platform/redis/lru.js';
import {
  MAX_TOKEN_BYTES,
  parseToken,
  readIdentity,
  verifySignature,
  verifySignatureAside,
  type ParsedToken,
  type TokenIdentity,
} from './device-token.js';
import { KeyRing } from './key-ring.js';
import type { ProofRefusal } from './proof-refusals.js';

type Eventually<T> = T | Promise<T>;

const MAX_VERDICTS = 20_000;

/**
 * Whether a token is genuine: shape, key, signature, and the claims that do not depend on device and time. Verdicts are kept by
 * the token's SHA-256; a kept one counts only while its key still verifies. Only genuine tokens are kept, so that made-up ones
 * push out nobody. Everything that can change (expiry, revocation, the device) is judged anew at each use, by the gate.
 */
@Injectable()
export class TokenVerifier {
  private readonly verdicts = new Lru<string, TokenIdentity>(MAX_VERDICTS);
  private readonly issuer: string;

  constructor(
    @Inject(CONFIG) config: Config,
    private readonly ring: KeyRing,
  ) {
    this.issuer = config.http.publicUrl;
  }

  /** A promise only where something has to be computed or asked. Rejects when the keys cannot be read. */
  verify(token: string, now: number): Eventually<TokenIdentity | ProofRefusal> {
    if (token.length > MAX_TOKEN_BYTES) return 'TOKEN_MALFORMED';
    const digest = hash('sha256', token, 'base64');
    const known = this.verdicts.get(digest);
    if (known === undefined) return this.verifyAndKeep(token, digest, now);
    const key = this.ring.find(known.kid, now);
    return key instanceof Promise ? key.then((found) => found && known).then(orUnknownKey) : orUnknownKey(key && known);
  }

  /** Without the verdict cache, for measurements and tests. */
  async verifyUncached(token: string, now: number): Promise<TokenIdentity | ProofRefusal> {
    const parsed = parseToken(token);
    if (parsed === null) return 'TOKEN_MALFORMED';
    const key = await this.ring.find(parsed.kid, now);
    if (key === null) return 'TOKEN_KEY_UNKNOWN';
    return this.conclude(parsed, await verifySignatureAside(parsed, key));
  }

  /** Whom a refused token names: as `verify`, in this very tick, with what is at hand. Not for letting anybody in. */
  identify(token: string, now: number): TokenIdentity | null {
    if (token.length > MAX_TOKEN_BYTES) return null;
    const digest = hash('sha256', token, 'base64');
    const known = this.verdicts.get(digest);
    const parsed = known === undefined ? parseToken(token) : null;
    const kid = known?.kid ?? parsed?.kid;
    const key = kid === undefined ? null : this.ring.lastKnown(kid, now);
    if (key === null) return null;
    if (known !== undefined) return known;
    if (parsed === null) return null;
    const identity = this.conclude(parsed, verifySignature(parsed, key));
    if (typeof identity === 'string') return null;
    this.verdicts.set(digest, identity);
    return identity;
  }

  private async verifyAndKeep(token: string, digest: string, now: number): Promise<TokenIdentity | ProofRefusal> {
    const identity = await this.verifyUncached(token, now);
    if (typeof identity !== 'string') this.verdicts.set(digest, identity);
    return identity;
  }

  private conclude(parsed: ParsedToken, good: boolean): TokenIdentity | ProofRefusal {
    return good ? readIdentity(parsed, this.issuer) : 'TOKEN_SIGNATURE';
  }
}

function orUnknownKey(identity: TokenIdentity | null): TokenIdentity | ProofRefusal {
  return identity ?? 'TOKEN_KEY_UNKNOWN';
}
