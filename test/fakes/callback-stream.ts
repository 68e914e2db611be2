import type { Answer } from '../factories/app.js';
import { emqxRequest, RawConnection } from '../factories/raw-http.js';

export interface StreamQuestion {
  readonly door: 'mqtt-auth' | 'mqtt-acl';
  readonly body: Readonly<Record<string, string>>;
  /** What the reference model says: an allow is possible, if all is well. */
  readonly mayAllow: boolean;
  readonly what: string;
}

/** Brokers give a question up after this long. */
export const BROKER_PATIENCE_MS = 5_000;

/** Asks without pause over several kept connections, as a busy broker does, and holds every answer to a reference model. */
export class CallbackStream {
  /** Answers that must never be: allowed against the model, or no answer of the contract at all. */
  readonly wrong: string[] = [];
  answered = 0;
  allowed = 0;
  /** CONNECTs that were allowed. */
  connected = 0;
  /**
   * Questions whose connection had answered before and ended in place of the answer, without having announced it. A server that
   * stops cannot help that where the question was still under way to it.
   */
  lost = 0;
  /** Answers that announced the end of their connection. */
  endsAnnounced = 0;
  /** Connections that ended before they had answered anything. */
  turnedAway = 0;
  slowestMs = 0;
  private running = false;
  private lanes: Promise<void>[] = [];

  constructor(
    private readonly port: number,
    private readonly secret: string,
    private readonly next: () => StreamQuestion,
  ) {}

  start(connections: number): void {
    this.running = true;
    this.lanes = Array.from({ length: connections }, () => this.lane());
  }

  /** Resolves when every question that was asked has its answer. */
  async stop(): Promise<void> {
    this.running = false;
    await Promise.all(this.lanes);
  }

  private async lane(): Promise<void> {
    while (this.running) {
      const connection = await RawConnection.open(this.port).catch(() => null);
      if (connection === null) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        continue;
      }
      let kept = false;
      while (this.running && (await this.askOne(connection, kept))) kept = true;
      connection.close();
    }
  }

  private async askOne(connection: RawConnection, kept: boolean): Promise<boolean> {
    const question = this.next();
    const asked = performance.now();
    connection.write(emqxRequest(`/api/v1/internal/${question.door}`, this.secret, JSON.stringify(question.body)));
    const answer = await connection.read();
    if (answer === null) {
      if (kept) this.lost += 1;
      else this.turnedAway += 1;
      return false;
    }
    this.slowestMs = Math.max(this.slowestMs, performance.now() - asked);
    this.judge(question, answer.status, answer.body);
    // A pause of nothing: others in this process get their turn.
    await new Promise((resolve) => setImmediate(resolve));
    const ends = /^connection: close\r?$/im.test(answer.headers);
    if (ends) this.endsAnnounced += 1;
    return !ends;
  }

  private judge(question: StreamQuestion, status: number, text: string): void {
    this.answered += 1;
    let result = '';
    try {
      result = (JSON.parse(text) as Answer).result;
    } catch {
      // Said below.
    }
    if (status !== 200 || (result !== 'allow' && result !== 'deny')) {
      this.wrong.push(`${question.what}: ${status} ${text.slice(0, 100)}`);
    } else if (result === 'allow') {
      this.allowed += 1;
      if (question.door === 'mqtt-auth') this.connected += 1;
      if (!question.mayAllow) this.wrong.push(`${question.what}: allowed`);
    }
  }
}
