import type { Client } from 'aedes';
import type { Clock } from '../platform/clock/clock.js';
import type { Grant } from './broker-answer.js';
import type { Peer } from './broker-types.js';

export type Verdict = 'allow' | 'deny';

/** `setTimeout` takes no longer delay. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** One admitted connection: who it is, what it was granted, until when. */
export class Session {
  /** Resolves when the socket is closed and the broker has let go of the client. */
  readonly ended: Promise<void>;
  /** Set by a kick: the persistent session ends with the connection. */
  discard = false;
  private queued = 0;
  private tail: Promise<void> = Promise.resolve();
  private expiry: NodeJS.Timeout | undefined;

  constructor(
    readonly client: Client,
    readonly peer: Peer,
    readonly username: string,
    readonly grant: Grant,
    private readonly clock: Clock,
  ) {
    this.ended = new Promise((resolve) => {
      // After the close aedes unsubscribes in one turn of the loop and unregisters in the next.
      peer.socket.once('close', () => setImmediate(() => setImmediate(resolve)));
    });
    void this.ended.then(() => clearTimeout(this.expiry));
  }

  get clientId(): string {
    return this.client.id;
  }

  /** Past `expire_at` nothing is granted any more; as in EMQX before 5.9, not even the will. */
  get expired(): boolean {
    const { expireAt } = this.grant;
    return expireAt !== null && this.clock.now() >= expireAt * 1000;
  }

  /** Closes the connection at `expire_at`. */
  armExpiry(onExpiry: () => void): void {
    if (this.grant.expireAt === null) return;
    const wait = Math.max(0, this.grant.expireAt * 1000 - this.clock.now());
    this.expiry = setTimeout(() => {
      if (!this.expired) return this.armExpiry(onExpiry);
      onExpiry();
      this.close();
    }, Math.min(wait, LONGEST_TIMER_MS));
    this.expiry.unref();
  }

  close(): void {
    this.peer.socket.destroy();
  }

  /**
   * Runs `judge` and hands the verdict to `answer`, in the order of the calls: aedes dispatches the packets of one read
   * all at once, and MQTT 3.1.1 §4.6 wants them acknowledged and passed on in theirs. Immediate where nobody waits
   * and the verdict is at hand. `judge` must not reject.
   */
  inOrder(judge: () => Verdict | Promise<Verdict>, answer: (verdict: Verdict) => void): void {
    if (this.queued === 0) {
      const verdict = judge();
      if (typeof verdict === 'string') return answer(verdict);
      this.enqueue(() => verdict, answer);
    } else {
      this.enqueue(judge, answer);
    }
  }

  private enqueue(judge: () => Verdict | Promise<Verdict>, answer: (verdict: Verdict) => void): void {
    this.queued += 1;
    this.tail = this.tail
      .then(judge)
      .then(answer)
      .catch(() => this.close())
      .finally(() => {
        this.queued -= 1;
      });
  }
}

/** The admitted connections, by client id: at most one each. */
export class SessionRegistry {
  private readonly byId = new Map<string, Session>();
  private readonly byClient = new WeakMap<Client, Session>();

  get size(): number {
    return this.byId.size;
  }

  get(clientId: string): Session | undefined {
    return this.byId.get(clientId);
  }

  /** Found after its end too: a will is judged with the dead client's identity. */
  of(client: Client): Session | undefined {
    return this.byClient.get(client);
  }

  add(session: Session): void {
    this.byId.set(session.clientId, session);
    this.byClient.set(session.client, session);
  }

  remove(session: Session): void {
    if (this.byId.get(session.clientId) === session) this.byId.delete(session.clientId);
  }

  clientIds(): string[] {
    return [...this.byId.keys()];
  }
}
