import { mkdir, open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { Inject, Injectable, type BeforeApplicationShutdown, type OnApplicationBootstrap } from '@nestjs/common';
import { Clock } from '../platform/clock/clock.js';
import { CONFIG, type Config } from '../platform/config/config.js';
import { logger } from '../platform/telemetry/logger.js';
import { CrlsRepository, type CrlState } from './crls.repository.js';
import { CrlsService, RENEW_AFTER_MS } from './crls.service.js';

const LOOK_MS = 30_000;

/**
 * Looks after the lists: makes one anew long before it runs out, catches up with a revocation whose list failed, and keeps the file
 * for brokers that read no URL. Every instance looks; the turn at an authority's row keeps two from doing the same work.
 */
@Injectable()
export class CrlKeeper implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private timer: NodeJS.Timeout | undefined;
  private working: Promise<void> | null = null;
  private written = '';

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly clock: Clock,
    private readonly repository: CrlsRepository,
    private readonly crls: CrlsService,
  ) {}

  onApplicationBootstrap(): void {
    if (this.config.role === 'gate') return;
    this.timer = setInterval(() => void this.tick(), LOOK_MS);
    this.timer.unref();
    void this.tick();
  }

  async beforeApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    await this.working;
  }

  /** One look, at once; of several calls one works. */
  tick(): Promise<void> {
    this.working ??= this.look()
      .catch((error: unknown) => logger.error({ err: error }, 'revocation lists could not be looked after'))
      .finally(() => (this.working = null));
    return this.working;
  }

  private async look(): Promise<void> {
    const due = new Date(this.clock.now() - RENEW_AFTER_MS);
    for (const state of await this.repository.states()) {
      if (state.unlisted || state.thisUpdate === null || state.thisUpdate <= due) await this.renew(state);
    }
    await this.writeFile();
  }

  private async renew({ authorityId, tenantId }: CrlState): Promise<void> {
    try {
      await this.crls.publish(authorityId, tenantId);
    } catch (error) {
      // The list before is still served, whole; an authority whose key is elsewhere publishes its list there.
      logger.warn({ err: error, authorityId }, 'a revocation list could not be made; the one before is still served');
    }
  }

  /** All lists in one file, as Mosquitto wants it; a reader sees the old one or the new one, never a part. */
  private async writeFile(): Promise<void> {
    const file = this.config.pki.crlFile;
    if (file === undefined) return;
    const states = (await this.repository.states()).filter(({ number }) => number !== null);
    const mark = states.map(({ authorityId, number }) => `${authorityId}:${number}`).join();
    if (mark === this.written || states.length === 0) return;
    const lists = await Promise.all(states.map(({ authorityId, tenantId }) => this.crls.current(authorityId, tenantId)));
    await replaceFile(path.resolve(file), Buffer.concat(lists.flatMap((list) => (list === null ? [] : [list.pem]))));
    this.written = mark;
  }
}

async function replaceFile(file: string, contents: Buffer): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true });
  const aside = `${file}.${process.pid}.new`;
  try {
    const handle = await open(aside, 'w', 0o644);
    try {
      await handle.writeFile(contents);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(aside, file);
  } catch (error) {
    await rm(aside, { force: true });
    throw error;
  }
}
