import { X509Certificate, type KeyObject } from 'node:crypto';
import { Injectable, type OnModuleInit } from '@nestjs/common';
import { Clock } from '../platform/clock/clock.js';
import { KeyValueStore } from '../platform/redis/key-value.js';
import { logger } from '../platform/telemetry/logger.js';
import { AuthoritiesRepository } from './authorities.repository.js';
import { AUTHORITIES_CHANNEL, type Authority } from './authority.js';

/** An authority as relying parties see it. */
export interface Anchor {
  readonly authority: Authority;
  readonly certificate: X509Certificate;
  readonly publicKey: KeyObject;
}

/** Authorities are made seldom: what was not told by message shows after this. */
const MAX_AGE_MS = 30_000;
/** Made-up issuers cannot make us ask Postgres more often. */
const MISS_PAUSE_MS = 1_000;

/** Every authority of the installation in process memory, without keys; the gate and the public pages read it. */
@Injectable()
export class TrustAnchors implements OnModuleInit {
  private byId: ReadonlyMap<string, Anchor> = new Map();
  private byName: ReadonlyMap<string, Anchor> = new Map();
  private loadedAt = Number.NEGATIVE_INFINITY;
  private running: Promise<void> | null = null;
  private following: Promise<void> | null = null;

  constructor(
    private readonly clock: Clock,
    private readonly store: KeyValueStore,
    private readonly repository: AuthoritiesRepository,
  ) {}

  async onModuleInit(): Promise<void> {
    await this.store.subscribe(AUTHORITIES_CHANNEL, () => void this.reload().catch(() => undefined));
    // Warm from the start; where Postgres is not there yet, the first certificate asks again.
    await this.reload().catch(() => undefined);
  }

  /** The issuing authority of this name (as X509Certificate prints it), from memory. */
  peek(issuer: string): Anchor | undefined {
    if (this.clock.now() - this.loadedAt > MAX_AGE_MS) void this.reload().catch(() => undefined);
    return this.byName.get(issuer);
  }

  /** As `peek`; asks Postgres where the name is not known, though not for every made-up one. */
  async find(issuer: string): Promise<Anchor | undefined> {
    const known = this.peek(issuer);
    if (known !== undefined || this.clock.now() - this.loadedAt < MISS_PAUSE_MS) return known;
    await this.reload();
    return this.byName.get(issuer);
  }

  /** By id, any kind but responders. */
  async get(id: string): Promise<Anchor | undefined> {
    const known = this.byId.get(id);
    if (known !== undefined || this.clock.now() - this.loadedAt < MISS_PAUSE_MS) return known;
    await this.reload();
    return this.byId.get(id);
  }

  /** Certificates in DER from the authority upwards, the root included. */
  async chainOf(authority: Authority): Promise<Buffer[]> {
    const chain = [authority.certificate];
    for (let upper = authority.parentId; upper !== null;) {
      if (!this.byId.has(upper)) await this.reload();
      const anchor = this.byId.get(upper);
      if (anchor === undefined) throw new Error(`authority ${upper} is not there`);
      chain.push(anchor.authority.certificate);
      upper = anchor.authority.parentId;
    }
    return chain;
  }

  /** Everything that clients' certificates can rest on: not what has ended. */
  async all(): Promise<Anchor[]> {
    await this.reload();
    return [...this.byId.values()].filter(({ authority }) => authority.endedAt === null);
  }

  /** Reads the authorities anew; what was committed before the call is in. */
  reload(): Promise<void> {
    if (this.running === null) {
      this.running = this.load().finally(() => (this.running = null));
      return this.running;
    }
    // What is under way may have begun before the change: one more follows it.
    this.following ??= this.running.catch(() => undefined).then(() => {
      this.following = null;
      return this.reload();
    });
    return this.following;
  }

  private async load(): Promise<void> {
    const startedAt = this.clock.now();
    try {
      const anchors = (await this.repository.everyone()).filter(({ kind }) => kind !== 'responder').map((authority) => this.anchorOf(authority));
      this.byId = new Map(anchors.map((anchor) => [anchor.authority.id, anchor]));
      this.byName = new Map(anchors.filter(({ authority }) => authority.kind === 'issuing').map((anchor) => [anchor.certificate.subject, anchor]));
      this.loadedAt = startedAt;
    } catch (error) {
      logger.warn({ err: error }, 'authorities could not be read');
      throw error;
    }
  }

  private anchorOf(authority: Authority): Anchor {
    const known = this.byId.get(authority.id);
    if (known !== undefined) return { ...known, authority };
    const certificate = new X509Certificate(authority.certificate);
    return { authority, certificate, publicKey: certificate.publicKey };
  }
}
