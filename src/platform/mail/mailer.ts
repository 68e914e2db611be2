import { createTransport } from 'nodemailer';
import type { Config } from '../config/config.js';
import { logger } from '../telemetry/logger.js';

export interface Mail {
  readonly to: string;
  readonly subject: string;
  readonly text: string;
}

/** Sends mails; the text is plain, so that nothing in it can be more than text. */
export abstract class Mailer {
  /** Whether mails arrive; in production nothing may be promised by mail without. */
  abstract readonly usable: boolean;
  /** Waits for the mail server. @throws when it does not take the mail */
  abstract send(mail: Mail): Promise<void>;
}

const TIMEOUT_MS = 10_000;

class SmtpMailer extends Mailer {
  readonly usable = true;
  private readonly transport;

  constructor(url: string, private readonly from: string) {
    super();
    this.transport = createTransport({ url, connectionTimeout: TIMEOUT_MS, greetingTimeout: TIMEOUT_MS, socketTimeout: TIMEOUT_MS });
  }

  async send({ to, subject, text }: Mail): Promise<void> {
    // An object, not a line: an address with a comma stays one address.
    await this.transport.sendMail({ from: this.from, to: { name: '', address: to }, subject, text, disableFileAccess: true, disableUrlAccess: true });
  }
}

/** Without a mail server: on a laptop the log is the mailbox; in production a link in a log would be a hole. */
class LogMailer extends Mailer {
  constructor(readonly usable: boolean) {
    super();
  }

  send({ to, subject, text }: Mail): Promise<void> {
    if (!this.usable) return Promise.reject(new Error('there is no mail server'));
    logger.warn({ to, subject, text }, 'no mail server is configured (SMTP_URL): this mail goes to the log');
    return Promise.resolve();
  }
}

export function mailerFor({ production, mail }: Config): Mailer {
  return mail.smtpUrl === undefined ? new LogMailer(!production) : new SmtpMailer(mail.smtpUrl, mail.from);
}
