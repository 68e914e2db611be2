import { Injectable } from '@nestjs/common';
import { Clock } from '../platform/clock/clock.js';
import { Transactions } from '../platform/database/transactions.js';
import { Lru } from '../platform/redis/lru.js';
import { AuthoritiesService } from './authorities.service.js';
import { buildCrl, crlPem } from './crl.js';
import { CrlsRepository } from './crls.repository.js';

export interface ServedCrl {
  readonly number: bigint;
  readonly nextUpdate: Date;
  readonly der: Buffer;
  readonly pem: Buffer;
}

const DAY_MS = 86_400_000;
/** A list is good this long: a broker whose list has run out refuses everybody, so an outage of ours must fit in. */
const VALID_MS = 7 * DAY_MS;
/** A list older than this is made anew though nothing was revoked. */
export const RENEW_AFTER_MS = DAY_MS;
const MAX_SERVED = 50;

interface Build {
  running: Promise<bigint>;
  next: Promise<bigint> | null;
}

/**
 * Lists of revoked certificates, one an authority. A list is built in a transaction and appears whole or not at all; numbers follow
 * each other whichever instance builds. Entries are encoded once, when a certificate is revoked; Postgres puts them together and
 * the signature is made on the thread pool, so the event loop goes on meanwhile.
 */
@Injectable()
export class CrlsService {
  private readonly served = new Lru<string, ServedCrl>(MAX_SERVED);
  private readonly builds = new Map<string, Build>();

  constructor(
    private readonly clock: Clock,
    private readonly transactions: Transactions,
    private readonly authorities: AuthoritiesService,
    private readonly repository: CrlsRepository,
  ) {}

  /**
   * Sees to it that a list is out that holds all that was committed before the call. Of many calls during a build one more build
   * follows it. @returns the number of the list
   */
  publish(authorityId: string, tenantId: string | null): Promise<bigint> {
    const build = this.builds.get(authorityId);
    if (build === undefined) {
      const fresh: Build = { running: this.build(authorityId, tenantId), next: null };
      this.builds.set(authorityId, fresh);
      const done = (): void => {
        if (fresh.next === null) this.builds.delete(authorityId);
      };
      fresh.running.then(done, done);
      return fresh.running;
    }
    build.next ??= build.running.catch(() => 0n).then(() => {
      this.builds.delete(authorityId);
      return this.publish(authorityId, tenantId);
    });
    return build.next;
  }

  /** The newest list; made now where there is none yet. `null`: there is no such authority, or its key is not here. */
  async current(authorityId: string, tenantId: string | null): Promise<ServedCrl | null> {
    let head = await this.repository.head(authorityId);
    if (head === null) {
      if ((await this.authorities.find(authorityId, tenantId)) === null) return null;
      await this.publish(authorityId, tenantId);
      head = await this.repository.head(authorityId);
    }
    const held = this.served.get(authorityId);
    if (held !== undefined && held.number === head?.number) return held;
    const newest = await this.repository.newest(authorityId);
    if (newest === null) return null;
    const served = { number: newest.number, nextUpdate: newest.nextUpdate, der: newest.der, pem: await crlPem(newest.der) };
    this.served.set(authorityId, served);
    return served;
  }

  private async build(authorityId: string, tenantId: string | null): Promise<bigint> {
    const signing = await this.authorities.find(authorityId, tenantId);
    if (signing === null) throw new Error(`authority ${authorityId} cannot sign a list`);
    return this.transactions.run({ tenantId }, async (tx) => {
      const last = await this.repository.takeTurn(tx, authorityId);
      const now = Math.floor(this.clock.now() / 1000) * 1000;
      // Another instance may have done it while we waited for our turn.
      if (last > 0n && (await this.repository.isUpToDate(tx, authorityId, new Date(now - RENEW_AFTER_MS)))) return last;
      const number = last + 1n;
      const thisUpdate = new Date(now);
      const nextUpdate = new Date(Math.min(now + VALID_MS, signing.issuer.notAfter.getTime()));
      await this.repository.mark(tx, authorityId, number, thisUpdate);
      const { chunks, count } = await this.repository.entries(tx, authorityId, number);
      const der = await buildCrl(signing.issuer, { number, thisUpdate, nextUpdate, entries: chunks });
      await this.repository.insert(tx, authorityId, { number, thisUpdate, nextUpdate, der }, count);
      return number;
    });
  }
}
