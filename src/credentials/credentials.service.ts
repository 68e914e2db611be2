import { randomUUID } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import type { TenantPrincipal } from '../access/principal.js';
import { actorOf } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { CredentialListings, inOrder, type ListedCredential } from '../devices/credential-listing.js';
import { devicesError } from '../devices/devices.errors.js';
import { DevicesService } from '../devices/devices.service.js';
import type { Facts } from '../devices/facts.js';
import { ServiceAccountsService } from '../devices/service-accounts.service.js';
import { Clock } from '../platform/clock/clock.js';
import { CONFIG, type Config } from '../platform/config/config.js';
import { DataKeys, type DataKey } from '../platform/crypto/data-keys.js';
import { Transactions, type Transaction } from '../platform/database/transactions.js';
import { DEFAULT_PAGE, decodeCursor, pageOf, type Page } from '../platform/http/paging.js';
import { digestSecret, newSecret, SECRET_PURPOSE } from './client-secret.js';
import { MAX_LIVE_SECRETS, ROTATION_OVERLAP_MS, stateOf } from './credential.js';
import type { CredentialOwner, CredentialView } from './credential.js';
import { credentialsError } from './credentials.errors.js';
import { CredentialsRepository, type CredentialRow, type NewCredential, type NewDeviceCredential } from './credentials.repository.js';
import { DEFAULT_TTL_SECONDS, MAX_TOKEN_BYTES, MAX_TTL_SECONDS, MIN_TTL_SECONDS, signToken, type TokenKey } from './device-token.js';
import { SigningKeysService } from './signing-keys.service.js';
import { deviceClaims } from './token-claims.js';

/** A secret is told this once. */
export interface IssuedSecret {
  readonly credentialId: string;
  readonly secret: string;
}

export interface RotatedSecret extends IssuedSecret {
  /** Until when a secret from before is still valid; `null`: there was none. */
  readonly previousValidUntil: Date | null;
}

export interface IssuedToken {
  readonly access_token: string;
  readonly token_type: 'bearer';
  /** Seconds. */
  readonly expires_in: number;
  /** The token's `jti`. */
  readonly credentialId: string;
}

/** A device that the transaction has made, and what it shall be given. Kinds that are not issued here are passed over. */
export interface Newborn {
  readonly facts: Facts;
  readonly kinds: readonly string[];
}

export interface FirstCredentials {
  readonly secret: string | null;
  readonly accessToken: string | null;
}

/** States in which a device gets a token; from an ADMIN a quarantined one too. */
const TOKEN_STATES: readonly string[] = ['PENDING', 'ACTIVE'];

/**
 * Client secrets and device tokens: issued, rotated, listed, revoked. Methods that take a transaction are parts of somebody's
 * larger change, who also audits it. Each of them that changes what the gate knows raises the owner's version in the same
 * transaction and, with it, locks the owner: two changes of one owner never meet.
 */
@Injectable()
export class CredentialsService {
  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly clock: Clock,
    private readonly keys: DataKeys,
    private readonly transactions: Transactions,
    private readonly devices: DevicesService,
    private readonly serviceAccounts: ServiceAccountsService,
    private readonly repository: CredentialsRepository,
    private readonly signingKeys: SigningKeysService,
    private readonly audit: AuditService,
    private readonly listings: CredentialListings,
  ) {}

  /** @throws CREDENTIAL_LIMIT_REACHED, DEVICE_NOT_FOUND, SERVICE_ACCOUNT_NOT_FOUND */
  async issueSecret(tx: Transaction, owner: CredentialOwner): Promise<IssuedSecret> {
    await this.touch(tx, owner);
    return this.addSecret(tx, owner, new Date(this.clock.now()));
  }

  /**
   * First credentials of devices that this very transaction has made: there is nothing yet to count, to raise or to forget, so
   * however many there are, they cost one statement. Proven by nobody but the caller, a token does not die with the secret.
   * @throws TOKEN_TOO_LARGE
   */
  async issueFirst(tx: Transaction, tenantId: string, newborns: readonly Newborn[]): Promise<FirstCredentials[]> {
    const rows: NewDeviceCredential[] = [];
    const secretKey = await this.keys.current(SECRET_PURPOSE);
    const signer = newborns.some(({ kinds }) => kinds.includes('token')) ? await this.signingKeys.signer(tx) : null;
    const now = this.clock.now();
    const issued = newborns.map(({ facts, kinds }) => {
      const secret = kinds.includes('secret') ? composeSecret('device', facts.id, secretKey, new Date(now)) : null;
      const token = kinds.includes('token') && signer !== null ? this.composeToken(facts, signer, DEFAULT_TTL_SECONDS, now) : null;
      if (secret !== null) rows.push({ ...secret.row, deviceId: facts.id });
      if (token !== null) rows.push({ ...token.row, deviceId: facts.id });
      return { secret: secret?.secret ?? null, accessToken: token?.text ?? null };
    });
    if (rows.length > 0) await this.repository.insertForDevices(tx, tenantId, rows);
    return issued;
  }

  /**
   * A new secret; those valid now stay so for `overlapMs` at most (0: they end at once, for one that leaked).
   * @throws CREDENTIAL_LIMIT_REACHED, DEVICE_NOT_FOUND, SERVICE_ACCOUNT_NOT_FOUND
   */
  async rotateSecret(tx: Transaction, owner: CredentialOwner, overlapMs = ROTATION_OVERLAP_MS): Promise<RotatedSecret> {
    await this.touch(tx, owner);
    const now = new Date(this.clock.now());
    const until = await this.repository.supersedeSecrets(tx, owner, now, new Date(now.getTime() + overlapMs));
    return { ...(await this.addSecret(tx, owner, now)), previousValidUntil: until };
  }

  /**
   * A device token over the rules that the device has in this transaction. Whether it should get one is the caller's question.
   * `parentId` is the secret that it is got with: revoking that revokes the token.
   * @throws TOKEN_TTL_INVALID, TOKEN_TOO_LARGE, DEVICE_NOT_FOUND
   */
  async issueToken(
    tx: Transaction,
    device: { readonly id: string; readonly tenantId: string },
    ttlSeconds = DEFAULT_TTL_SECONDS,
    parentId: string | null = null,
  ): Promise<IssuedToken> {
    refuseTtl(ttlSeconds);
    return this.mint(tx, await this.factsOf(tx, device.id), ttlSeconds, parentId);
  }

  /** In the order of their creation, without end: for services. */
  async list(tx: Transaction, owner: CredentialOwner): Promise<CredentialView[]> {
    const now = this.clock.now();
    return (await this.repository.list(tx, owner)).map((row) => viewOf(listed(row), now));
  }

  /**
   * Revokes a credential and the tokens that were got with it. One that is revoked already stays as it is.
   * @returns ids of all that were revoked now
   * @throws CREDENTIAL_NOT_FOUND
   */
  async revoke(
    tx: Transaction,
    owner: CredentialOwner,
    credentialId: string,
    reason: string,
  ): Promise<{ revoked: string[] }> {
    await this.touch(tx, owner);
    if (!(await this.repository.exists(tx, owner, credentialId))) throw credentialsError('CREDENTIAL_NOT_FOUND');
    return { revoked: await this.repository.revoke(tx, owner, credentialId, new Date(this.clock.now()), reason) };
  }

  async revokeAll(tx: Transaction, owner: CredentialOwner, reason: string): Promise<{ revoked: string[] }> {
    await this.touch(tx, owner);
    return { revoked: await this.repository.revokeAll(tx, owner, new Date(this.clock.now()), reason) };
  }

  /** @throws DEVICE_NOT_FOUND, CURSOR_INVALID */
  async page(
    me: TenantPrincipal,
    deviceId: string,
    { limit = DEFAULT_PAGE, cursor }: { limit?: number; cursor?: string },
  ): Promise<Page<CredentialView>> {
    const after = decodeCursor(cursor);
    return this.transactions.run({ tenantId: me.tenantId }, async (tx) => {
      const { id, tenantId } = await this.devices.get(tx, deviceId);
      const own = await this.repository.list(tx, { kind: 'device', id, tenantId }, { after, limit: limit + 1 });
      const others = await this.listings.list(tx, id, after, limit + 1);
      const now = this.clock.now();
      return pageOf(inOrder([...own.map(listed), ...others]), limit, ({ key }) => key, (credential) => viewOf(credential, now));
    });
  }

  /**
   * A token for a device, asked for by a person or by the device itself.
   * @throws DEVICE_NOT_FOUND, TOKEN_DEVICE_STATE, TOKEN_TTL_INVALID, TOKEN_TOO_LARGE
   */
  async requestToken(me: TenantPrincipal, deviceId: string, ttlSeconds = DEFAULT_TTL_SECONDS): Promise<IssuedToken> {
    refuseTtl(ttlSeconds);
    return this.transactions.run({ tenantId: me.tenantId }, async (tx) => {
      const facts = await this.factsOf(tx, deviceId);
      refuseState(facts, me);
      const token = await this.mint(tx, facts, ttlSeconds, me.kind === 'device' ? (me.credentialId ?? null) : null);
      await this.audit.record(tx, {
        type: 'TOKEN_ISSUED',
        tenantId: me.tenantId,
        deviceId,
        actor: actorOf(me),
        details: { jti: token.credentialId, ttl: ttlSeconds },
      });
      return token;
    });
  }

  private async factsOf(tx: Transaction, deviceId: string): Promise<Facts> {
    const facts = await this.devices.factsInside(tx, 'device', deviceId);
    if (facts === null) throw devicesError('DEVICE_NOT_FOUND');
    return facts;
  }

  private async addSecret(tx: Transaction, owner: CredentialOwner, now: Date): Promise<IssuedSecret> {
    const live = await this.repository.countLiveSecrets(tx, owner, now);
    if (live >= MAX_LIVE_SECRETS) throw credentialsError('CREDENTIAL_LIMIT_REACHED');
    const { secret, row } = composeSecret(owner.kind, owner.id, await this.keys.current(SECRET_PURPOSE), now);
    await this.repository.insert(tx, owner, row);
    return { credentialId: row.id, secret };
  }

  private async mint(tx: Transaction, facts: Facts, ttlSeconds: number, parentId: string | null): Promise<IssuedToken> {
    const signer = await this.signingKeys.signer(tx);
    const now = this.clock.now();
    const owner = { kind: 'device', id: facts.id, tenantId: facts.tenantId } as const;
    const { text, row } = this.composeToken(facts, signer, ttlSeconds, now);
    await this.repository.purgeTokens(tx, owner, new Date(now));
    await this.repository.insert(tx, owner, { ...row, parentId });
    return { access_token: text, token_type: 'bearer', expires_in: ttlSeconds, credentialId: row.id };
  }

  /** Signed, but not written yet. */
  private composeToken(facts: Facts, signer: TokenKey, ttlSeconds: number, now: number): { readonly text: string; readonly row: NewCredential } {
    const jti = randomUUID();
    const iat = issueTime(facts.tokensNotBefore, now);
    const claims = deviceClaims({
      facts,
      issuer: this.config.http.publicUrl,
      jti,
      iat,
      ttlSeconds,
      profiles: this.config.deviceTokens.profiles,
    });
    const text = signToken(claims, signer);
    if (text.length > MAX_TOKEN_BYTES) throw credentialsError('TOKEN_TOO_LARGE');
    return { text, row: { id: jti, kind: 'token', createdAt: new Date(now), expiresAt: new Date(claims.exp * 1000) } };
  }

  private async touch(tx: Transaction, { kind, id }: CredentialOwner): Promise<void> {
    await (kind === 'device' ? this.devices.touch(tx, id) : this.serviceAccounts.touch(tx, id));
  }
}

/** A fresh secret and its row, not written yet. */
function composeSecret(kind: CredentialOwner['kind'], ownerId: string, dataKey: DataKey, now: Date): { readonly secret: string; readonly row: NewCredential } {
  const id = randomUUID();
  const secret = newSecret(kind);
  const digest = { bytes: digestSecret(dataKey.key, ownerId, id, secret), keyId: dataKey.id };
  return { secret, row: { id, kind: 'secret', createdAt: now, expiresAt: null, digest } };
}

function refuseTtl(seconds: number): void {
  if (Number.isSafeInteger(seconds) && seconds >= MIN_TTL_SECONDS && seconds <= MAX_TTL_SECONDS) return;
  const message = `must be ${MIN_TTL_SECONDS} to ${MAX_TTL_SECONDS} seconds`;
  throw credentialsError('TOKEN_TTL_INVALID', { errors: [{ path: 'ttl', message }] });
}

function refuseState({ status, tenantStatus }: Facts, me: TenantPrincipal): void {
  const allowed = TOKEN_STATES.includes(status) || (status === 'QUARANTINED' && me.role === 'ADMIN');
  if (tenantStatus !== 'ACTIVE') throw credentialsError('TOKEN_DEVICE_STATE', { detail: 'The tenant is frozen.' });
  if (!allowed) throw credentialsError('TOKEN_DEVICE_STATE', { detail: `The device is ${status}.` });
}

/**
 * Seconds. A line drawn within this very second refuses every token of the second: the new one then says the next second, which
 * is within what any verifier lets clocks differ.
 */
function issueTime(tokensNotBefore: number | null, now: number): number {
  const seconds = Math.floor(now / 1000);
  return tokensNotBefore === seconds + 1 ? tokensNotBefore : seconds;
}

function listed(row: CredentialRow): ListedCredential {
  return {
    id: row.id,
    kind: row.kind,
    createdAt: row.created_at,
    notBefore: row.not_before,
    expiresAt: row.expires_at,
    supersededAt: row.superseded_at,
    revokedAt: row.revoked_at,
    parentId: row.parent_id,
    lastUsedAt: row.last_used_at,
    key: { at: row.at, id: row.id },
  };
}

function viewOf({ key: _, ...credential }: ListedCredential, now: number): CredentialView {
  return { ...credential, state: stateOf(credential, now) };
}
