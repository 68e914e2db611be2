import { randomUUID } from 'node:crypto';
import { Injectable, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { Clock } from '../platform/clock/clock.js';
import { DataKeys, type SealContext } from '../platform/crypto/data-keys.js';
import { Transactions } from '../platform/database/transactions.js';
import { logger } from '../platform/telemetry/logger.js';
import type { Fingerprint, JsonValue } from './fingerprint.js';
import { idempotencyError } from './idempotency.errors.js';
import { IdempotencyRepository, type KeyName, type KeyRow } from './idempotency.repository.js';
import { holdsSecret } from './one-time-secret.js';

const MINUTE_MS = 60_000;
/** Answers are told again for this long. */
export const KEPT_MS = 24 * 60 * MINUTE_MS;
/** Answers with a one-time secret, only for this long. */
export const SECRET_KEPT_MS = 10 * MINUTE_MS;
/** A request whose process died holds its key no longer than this. */
export const LOCK_MS = MINUTE_MS;
const EXTEND_EVERY_MS = LOCK_MS / 3;
const SWEEP_EVERY_MS = MINUTE_MS;
const SWEEP_MOST = 1_000;
/** A row can vanish between the insert that met it and the look at it. */
const ATTEMPTS = 5;

/** The right to run the request and to answer for its key. */
export interface Turn {
  readonly name: KeyName;
  readonly owner: string;
  readonly fingerprint: Fingerprint;
}

export interface Answer {
  readonly status: number;
  readonly body: JsonValue | undefined;
}

export type Beginning = { readonly turn: Turn } | { readonly answer: Answer };

/** Keys of writes: one run for a key, and its answer told again. Every step is a short transaction of its own. */
@Injectable()
export class IdempotencyService implements OnModuleInit, OnApplicationShutdown {
  private sweeper: NodeJS.Timeout | null = null;

  constructor(
    private readonly repository: IdempotencyRepository,
    private readonly transactions: Transactions,
    private readonly dataKeys: DataKeys,
    private readonly clock: Clock,
  ) {}

  onModuleInit(): void {
    this.sweeper = setInterval(() => void this.sweep(), SWEEP_EVERY_MS).unref();
  }

  onApplicationShutdown(): void {
    if (this.sweeper) clearInterval(this.sweeper);
  }

  /**
   * A turn to run the request, or the answer that it had.
   * @throws IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_IN_PROGRESS, SECRET_ALREADY_SHOWN
   */
  async begin(name: KeyName, fingerprint: Fingerprint): Promise<Beginning> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const turn: Turn = { name, owner: randomUUID(), fingerprint };
      const met = await this.transactions.run({ tenantId: name.tenantId }, async (tx) => {
        const now = this.clock.now();
        const row = { ...fingerprint, owner: turn.owner, createdAt: new Date(now), lockedUntil: new Date(now + LOCK_MS) };
        if (await this.repository.insert(tx, name, row)) return 'mine';
        const found = await this.repository.lock(tx, name);
        if (!found) return 'vanished';
        const ended = found.createdAt.getTime() + KEPT_MS <= now;
        if (!ended && !isSame(found, fingerprint)) throw idempotencyError('IDEMPOTENCY_KEY_REUSED');
        if (!ended && found.statusCode !== null) return found;
        if (found.statusCode === null && found.lockedUntil.getTime() > now) {
          throw idempotencyError('IDEMPOTENCY_IN_PROGRESS', { headers: { 'retry-after': '1' } });
        }
        await this.repository.takeOver(tx, name, row);
        return 'mine';
      });
      if (met === 'mine') return { turn };
      if (met !== 'vanished') return { answer: await this.openAnswer(name, fingerprint, met) };
    }
    throw idempotencyError('IDEMPOTENCY_IN_PROGRESS', { headers: { 'retry-after': '1' } });
  }

  /** Runs `work` while the key stays locked, however long that takes. */
  async holding<T>({ name, owner }: Turn, work: () => Promise<T>): Promise<T> {
    const extend = (): void => {
      const until = new Date(this.clock.now() + LOCK_MS);
      this.transactions.run({ tenantId: name.tenantId }, (tx) => this.repository.extend(tx, name, owner, until))
        .catch((error: unknown) => logger.warn({ err: error }, 'the lock of an idempotency key was not extended'));
    };
    const timer = setInterval(extend, EXTEND_EVERY_MS).unref();
    try {
      return await work();
    } finally {
      clearInterval(timer);
    }
  }

  /** Keeps the answer, sealed. The work is done by now, so a failure here is logged and the caller still gets the answer. */
  async finish({ name, owner, fingerprint }: Turn, status: number, body: unknown): Promise<void> {
    try {
      const text = JSON.stringify({ body });
      const answer = await this.dataKeys.seal(sealContext(name, fingerprint), Buffer.from(text, 'utf8'));
      // Judged as it is sent: an object may hide its members until it is serialised.
      const kept = { statusCode: status, answer, holdsSecret: holdsSecret(JSON.parse(text) as JsonValue) };
      await this.transactions.run({ tenantId: name.tenantId }, (tx) => this.repository.answer(tx, name, owner, kept));
    } catch (error) {
      logger.error({ err: error }, 'the answer for an idempotency key was not kept: the request may run again once its lock ends');
    }
  }

  /** Frees the key of a request that failed, so that it can be repeated. If even that fails, the lock ends by itself. */
  async release({ name, owner }: Turn): Promise<void> {
    try {
      await this.transactions.run({ tenantId: name.tenantId }, (tx) => this.repository.release(tx, name, owner));
    } catch (error) {
      logger.warn({ err: error }, 'an idempotency key was not released');
    }
  }

  async sweep(): Promise<void> {
    const now = this.clock.now();
    try {
      let swept: number;
      do swept = await this.repository.sweep(new Date(now - KEPT_MS), new Date(now - SECRET_KEPT_MS), SWEEP_MOST);
      while (swept === SWEEP_MOST);
    } catch (error) {
      logger.warn({ err: error }, 'old idempotency keys were not swept');
    }
  }

  private async openAnswer(name: KeyName, fingerprint: Fingerprint, row: KeyRow): Promise<Answer> {
    const over = row.holdsSecret && row.createdAt.getTime() + SECRET_KEPT_MS <= this.clock.now();
    if (row.statusCode === null || row.answer === null || over) throw idempotencyError('SECRET_ALREADY_SHOWN');
    const opened = await this.dataKeys.open(sealContext(name, fingerprint), row.answer);
    return { status: row.statusCode, body: (JSON.parse(opened.toString('utf8')) as { body?: JsonValue }).body };
  }
}

function isSame(row: KeyRow, { route, bodyHash }: Fingerprint): boolean {
  return row.route === route && row.bodyHash.equals(bodyHash);
}

function sealContext({ tenantId, principal, key }: KeyName, { route, bodyHash }: Fingerprint): SealContext {
  return {
    purpose: 'idempotency-answer',
    table: 'idempotency_keys',
    tenant: tenantId,
    row: JSON.stringify([principal, key, route, bodyHash.toString('hex')]),
    version: 1,
  };
}
