import { Inject, Injectable, type BeforeApplicationShutdown } from '@nestjs/common';
import { CONFIG, type Config } from '../platform/config/config.js';
import { Mailer, type Mail } from '../platform/mail/mailer.js';
import { logger } from '../platform/telemetry/logger.js';
import { authError } from './auth.errors.js';

/** Mails under way; beyond this further ones are dropped, and whoever waits asks again. */
const MAX_PENDING = 200;

/**
 * Mails of this room, sent after the answer: how long a mail server takes must not tell whether there was anybody to write to.
 * Links lead to `PUBLIC_URL` and nowhere else; the token stands behind the `#`, which browsers send to nobody.
 */
@Injectable()
export class Letters implements BeforeApplicationShutdown {
  private readonly pending = new Set<Promise<void>>();

  constructor(
    private readonly mailer: Mailer,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /** @throws MAIL_NOT_CONFIGURED */
  demandMail(): void {
    if (!this.mailer.usable) throw authError('MAIL_NOT_CONFIGURED');
  }

  link(page: 'reset-password' | 'accept-invitation' | 'confirm-email', token: string): string {
    return `${this.config.http.publicUrl}/${page}#token=${token}`;
  }

  /** Finds out whom to write what, and does it, behind the caller's back. Never throws. */
  later(compose: () => Promise<Mail | null>): void {
    if (this.pending.size >= MAX_PENDING) {
      logger.error({ pending: this.pending.size }, 'too many mails are under way; one was dropped');
      return;
    }
    const task = this.deliver(compose)
      .catch((error: unknown) => logger.error({ err: error }, 'a mail could not be sent'))
      .finally(() => this.pending.delete(task));
    this.pending.add(task);
  }

  /** Until nothing is under way. */
  async settled(): Promise<void> {
    while (this.pending.size > 0) await Promise.all(this.pending);
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.settled();
  }

  private async deliver(compose: () => Promise<Mail | null>): Promise<void> {
    const mail = await compose();
    if (mail !== null) await this.mailer.send(mail);
  }
}
