import { createHash, createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { SYSTEM_ACTOR, type AuditActor } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { Clock } from '../platform/clock/clock.js';
import { CONFIG, type Config } from '../platform/config/config.js';
import { DataKeys, type SealContext } from '../platform/crypto/data-keys.js';
import { Transactions, type Transaction } from '../platform/database/transactions.js';
import { KeyValueStore } from '../platform/redis/key-value.js';
import { logger } from '../platform/telemetry/logger.js';
import { hs256Key, MAX_TTL_SECONDS, type TokenKey } from './device-token.js';
import { KEYS_CHANNEL, KeyRing, type PublicJwk } from './key-ring.js';
import { SigningKeysRepository, type NewSigningKey, type SigningKeyRow } from './signing-keys.repository.js';

/** How long a verifier may keep the public key set. */
export const JWKS_MAX_AGE_SECONDS = 300;
/** A new key is published this long before it signs: every verifier has fetched the set by then. */
const LEAD_MS = 2 * JWKS_MAX_AGE_SECONDS * 1000;
/** A retired key verifies until the last token that it signed has ended, and a little longer for clocks that differ. */
const VERIFY_MS = MAX_TTL_SECONDS * 1000 + LEAD_MS;

export interface Rotation {
  readonly kid: string;
  readonly signsFrom: Date;
  /** `null`: it was the first key. */
  readonly previous: { readonly kid: string; readonly verifiesUntil: Date } | null;
}

/** The keys that sign device tokens: made at first need, sealed in Postgres, replaced with an overlap. */
@Injectable()
export class SigningKeysService {
  /** Private keys that this process has opened. */
  private readonly opened = new Map<string, KeyObject>();
  private readonly symmetric: TokenKey | null;

  constructor(
    @Inject(CONFIG) { deviceTokens }: Config,
    private readonly clock: Clock,
    private readonly keys: DataKeys,
    private readonly transactions: Transactions,
    private readonly repository: SigningKeysRepository,
    private readonly ring: KeyRing,
    private readonly store: KeyValueStore,
    private readonly audit: AuditService,
  ) {
    this.symmetric = deviceTokens.hs256Secret === undefined ? null : hs256Key(deviceTokens.hs256Secret);
  }

  /** The key that signs now. Asked of Postgres each time, so that a key that was given up signs nothing more anywhere. */
  async signer(tx: Transaction): Promise<TokenKey> {
    if (this.symmetric !== null) return this.symmetric;
    const now = this.clock.now();
    let rows = await this.repository.signers(tx, new Date(now));
    if (rows.length === 0) {
      await this.createFirst();
      rows = await this.repository.signers(tx, new Date(now));
    }
    // The newest that has begun; none has where another instance with a faster clock made the first key just now.
    const row = rows.findLast((candidate) => candidate.signs_from.getTime() <= now) ?? rows[0];
    if (row === undefined) throw new Error('there is no signing key');
    return { kid: row.kid, algorithm: 'ES256', key: await this.open(row) };
  }

  /** The public key set: keys that sign, that will, and that still verify. An HS256 secret is never in it. */
  async jwks(): Promise<{ keys: PublicJwk[] }> {
    const keys = await this.ring.published(this.clock.now());
    if (keys.length > 0 || this.symmetric !== null) return { keys };
    await this.createFirst();
    return { keys: await this.ring.published(this.clock.now()) };
  }

  /**
   * Replaces the signing key. The new one is published at once and signs ten minutes later; the old one verifies until its last
   * token has ended. With `compromised` the new one signs at once and no older key verifies anything any more: every
   * device has to get a new token.
   */
  async rotate(options: { readonly compromised?: boolean; readonly actor?: AuditActor } = {}): Promise<Rotation> {
    const { compromised = false, actor = SYSTEM_ACTOR } = options;
    const now = this.clock.now();
    const signsFrom = new Date(compromised ? now : now + LEAD_MS);
    const verifiesUntil = new Date(compromised ? now : signsFrom.getTime() + VERIFY_MS);
    return this.transactions.run({}, async (tx) => {
      await this.repository.lockRotation(tx);
      const previous = await this.repository.retireCurrent(tx, signsFrom, verifiesUntil);
      if (compromised) await this.repository.endAll(tx, new Date(now));
      // There is nothing to overlap with: the first key signs at once.
      const key = await this.newKey(previous === null ? new Date(now) : signsFrom);
      await this.repository.insert(tx, key);
      await this.audit.record(tx, {
        type: 'SIGNING_KEY_ROTATED',
        tenantId: null,
        actor,
        details: { kid: key.kid, previous, compromised, signsFrom: key.signsFrom.toISOString() },
      });
      tx.afterCommit(() => this.announce());
      const { kid } = key;
      return { kid, signsFrom: key.signsFrom, previous: previous === null ? null : { kid: previous, verifiesUntil } };
    });
  }

  private async createFirst(): Promise<void> {
    await this.repository.insertFirst(await this.newKey(new Date(this.clock.now())));
    await this.announce();
  }

  private async newKey(signsFrom: Date): Promise<NewSigningKey> {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const { x = '', y = '' } = publicKey.export({ format: 'jwk' });
    const kid = thumbprint(x, y);
    const pkcs8 = privateKey.export({ format: 'der', type: 'pkcs8' });
    return {
      kid,
      publicJwk: { kty: 'EC', crv: 'P-256', x, y },
      privateSealed: await this.keys.seal(sealContext(kid), pkcs8),
      createdAt: new Date(this.clock.now()),
      signsFrom,
    };
  }

  private async open(row: SigningKeyRow): Promise<KeyObject> {
    const known = this.opened.get(row.kid);
    if (known) return known;
    const pkcs8 = await this.keys.open(sealContext(row.kid), row.private_sealed);
    const key = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
    this.opened.set(row.kid, key);
    return key;
  }

  private async announce(): Promise<void> {
    try {
      await this.store.publish(KEYS_CHANNEL, '');
    } catch (error) {
      logger.warn({ err: error }, 'other processes were not told of a new signing key; they find it within 30 s');
    }
    await this.ring.reload();
  }
}

function sealContext(kid: string): SealContext {
  return { purpose: 'signing-key', table: 'signing_keys', tenant: null, row: kid, version: 1 };
}

/** RFC 7638: SHA-256 over the required members in lexicographic order. */
function thumbprint(x: string, y: string): string {
  return createHash('sha256').update(JSON.stringify({ crv: 'P-256', kty: 'EC', x, y })).digest('base64url');
}
