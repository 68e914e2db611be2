import { randomBytes } from 'node:crypto';
import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import pg from 'pg';
import { CONFIG, type Config } from '../config/config.js';
import { logger } from '../telemetry/logger.js';
import { connectionFor } from './connection.js';
import { Pools } from './pools.js';

export interface NotificationHandler {
  /** What a transaction sent by `pg_notify`, after it has committed. */
  heard(payload: string): void;
  /** Listening begins, for the first time or anew: what was sent before this moment may have been missed. */
  began(): void;
}

const CONNECT_TIMEOUT_MS = 2_000;
const BEAT_MS = 500;
/** Waited for twice; with the beat, a dead connection is known after less than two seconds. */
const PATIENCE_MS = 700;
/** A Postgres that is only slow is waited for so much longer before the connection is made anew. */
const GIVEN_UP_MS = 4_000;
const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 2_000;

/**
 * One connection of its own on which Postgres tells what was committed (`LISTEN`). It needs no privilege and a whole session: behind
 * a pooler that hands a connection to somebody else after each transaction nothing would arrive, so `listening` is only said when a
 * notification that another connection sent has come back. It comes back by itself, for ever.
 */
@Injectable()
export class Notifications implements OnApplicationShutdown {
  private wanted: { readonly channel: string; readonly handler: NotificationHandler } | undefined;
  private readonly echoes = new Map<string, () => void>();
  private readonly echoChannel = `portcullis_echo_${randomBytes(6).toString('hex')}`;
  private client: pg.Client | undefined;
  private up = false;
  private closing = false;
  private retries = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly pools: Pools,
  ) {}

  /** Whether everything that is sent now will be heard, as far as can be known. */
  get listening(): boolean {
    return this.up;
  }

  /** Waits for the first attempt to listen; if that fails it goes on trying. There is one channel. */
  async listen(channel: string, handler: NotificationHandler): Promise<void> {
    if (this.wanted !== undefined) throw new Error(`${this.wanted.channel} is listened to already`);
    this.wanted = { channel, handler };
    await this.open();
  }

  async onApplicationShutdown(): Promise<void> {
    this.closing = true;
    this.up = false;
    clearTimeout(this.timer);
    const { client } = this;
    this.client = undefined;
    // One that hangs would be waited for in vain.
    if (client !== undefined) await within(client.end(), PATIENCE_MS);
  }

  private async open(): Promise<void> {
    const { wanted } = this;
    if (this.closing || wanted === undefined) return;
    const client = new pg.Client({
      ...connectionFor(this.config.database, 'gate'),
      application_name: 'portcullis-notices',
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      keepAlive: true,
    });
    this.client = client;
    // Said by the client at any time, when it was given up as well.
    client.on('error', (error) => this.lost(client, error));
    client.on('end', () => this.lost(client, new Error('the connection ended')));
    client.on('notification', ({ channel, payload = '' }) => {
      if (channel === this.echoChannel) this.echoes.get(payload)?.();
      else wanted.handler.heard(payload);
    });
    try {
      await client.connect();
      const channels = [wanted.channel, this.echoChannel].map((name) => client.escapeIdentifier(name));
      const answered = client.query(channels.map((name) => `LISTEN ${name}`).join('; ')).then(() => this.echo());
      if (!(await within(answered, 2 * PATIENCE_MS))) throw new Error('what another connection sent did not arrive');
      this.began(client, wanted.handler);
    } catch (error) {
      this.lost(client, error);
    }
  }

  /** Sent by another connection: one that shares ours would be answered where nothing else arrives. */
  private async echo(): Promise<void> {
    const token = randomBytes(9).toString('base64url');
    const arrived = new Promise<void>((resolve) => this.echoes.set(token, resolve));
    try {
      await this.pools.gate.query('SELECT pg_notify($1, $2)', [this.echoChannel, token]);
      await arrived;
    } finally {
      this.echoes.delete(token);
    }
  }

  private began(client: pg.Client, handler: NotificationHandler): void {
    if (this.client !== client || this.closing) return;
    this.up = true;
    if (this.retries > 0) logger.info('Postgres tells of changes again');
    this.retries = 0;
    handler.began();
    this.beatLater(client);
  }

  private beatLater(client: pg.Client): void {
    this.timer = setTimeout(() => void this.beat(client), BEAT_MS);
    this.timer.unref();
  }

  private async beat(client: pg.Client): Promise<void> {
    const answered = client.query('SELECT 1');
    // Waited for twice: where this process itself stood still, its timer fires before the answer is read.
    let alive = (await within(answered, PATIENCE_MS)) || (await within(answered, PATIENCE_MS));
    if (!alive && this.client === client) {
      // What comes late comes in order: if there is an answer at last, nothing was missed, and no cache need be asked anew.
      this.up = false;
      alive = await within(answered, GIVEN_UP_MS);
    }
    if (this.client !== client || this.closing) return;
    if (!alive) return this.lost(client, new Error('no answer'));
    this.up = true;
    this.beatLater(client);
  }

  private lost(client: pg.Client, error: unknown): void {
    if (this.client !== client) return;
    this.client = undefined;
    this.up = false;
    this.echoes.clear();
    clearTimeout(this.timer);
    // One that hangs would wait for its last answer for ever.
    void client.end().catch(() => undefined);
    if (this.closing) return;
    if (this.retries === 0) {
      logger.warn({ err: error instanceof Error ? error.message : error }, 'Postgres cannot tell of changes; they are heard through Redis alone');
    }
    const wait = Math.min(FIRST_RETRY_MS * 2 ** this.retries, LONGEST_RETRY_MS) * (0.75 + Math.random() / 2);
    this.retries = Math.min(this.retries + 1, 10);
    this.timer = setTimeout(() => void this.open(), wait);
    this.timer.unref();
  }
}

/** Whether it succeeds within this time. */
async function within(work: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const tooLong = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  try {
    return await Promise.race([work.then(() => true, () => false), tooLong]);
  } finally {
    clearTimeout(timer);
  }
}
