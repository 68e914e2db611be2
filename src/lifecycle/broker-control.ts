/** A live session at the broker. */
export interface LiveSession {
  readonly clientId: string;
  /** Version of the facts that it was let in on (`client_attrs.ver`); `null` where the broker does not tell. */
  readonly factsVersion: number | null;
}

/**
 * What the lifecycle needs of a broker to cut sessions. A `subject` is a device id or `svc:<uuid>`; its sessions are those whose
 * client id is exactly that, or that and `:suffix`. Every verb rejects when the broker did not confirm.
 */
export abstract class BrokerControl {
  /** `none`: the broker cannot be managed from here; nothing that is asked of it is ever confirmed. */
  abstract readonly kind: 'embedded' | 'emqx' | 'none';
  abstract find(subject: string): Promise<LiveSession[]>;

  /** As `find` for many subjects at once; one by one, unless the broker has a better way. */
  async findMany(subjects: ReadonlySet<string>): Promise<LiveSession[]> {
    const found: LiveSession[] = [];
    await inLanes([...subjects], async (subject) => void found.push(...(await this.find(subject))));
    return found;
  }

  /** Refuses the client id before authentication, and keeps its will from being published. */
  abstract ban(clientId: string, seconds: number, reason: string): Promise<void>;
  abstract unban(clientId: string): Promise<void>;
  /** Client ids of the subject that we have banned. */
  abstract bans(subject: string): Promise<string[]>;
  /** Ends connection and session. */
  abstract kick(clientId: string): Promise<void>;

  /** As `kick` for many at once. */
  async kickMany(clientIds: readonly string[]): Promise<void> {
    await inLanes(clientIds, (clientId) => this.kick(clientId));
  }

  /** Drops cached verdicts, where the broker keeps any. */
  abstract resetCaches(): Promise<void>;
}

/** Stands in where the broker has no control interface that we were given: ejections then say that they are not confirmed. */
export class UnmanagedBroker extends BrokerControl {
  readonly kind = 'none';

  find(): Promise<LiveSession[]> {
    return this.refuse();
  }

  ban(): Promise<void> {
    return this.refuse();
  }

  unban(): Promise<void> {
    return this.refuse();
  }

  bans(): Promise<string[]> {
    return this.refuse();
  }

  kick(): Promise<void> {
    return this.refuse();
  }

  resetCaches(): Promise<void> {
    return this.refuse();
  }

  private refuse<T>(): Promise<T> {
    return Promise.reject(new Error('this broker is not managed: EMQX_API_URL is not set'));
  }
}

/** How many calls a broker gets at a time. */
const LANES = 8;

async function inLanes<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  const lane = async (): Promise<void> => {
    for (const item of queue) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(LANES, items.length) }, lane));
}

/** Whose session a client id is: the id itself, or what stands before `:suffix`; `svc:` is part of the id of a service account. */
export function subjectOfClient(clientId: string): string {
  const end = clientId.indexOf(':', clientId.startsWith('svc:') ? 4 : 0);
  return end === -1 ? clientId : clientId.slice(0, end);
}

/** Whether a client id is one of the subject's. */
export function belongsTo(clientId: string, subject: string): boolean {
  return clientId === subject || clientId.startsWith(`${subject}:`);
}
