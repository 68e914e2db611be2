/**
 * What the lifecycle needs of a broker to cut sessions. A `subject` is a device id or `svc:<uuid>`; its sessions are those whose
 * client id is exactly that, or that and `:suffix`. Every verb rejects when the broker did not confirm.
 */
export abstract class BrokerControl {
  /** `none`: the broker cannot be managed from here; nothing that is asked of it is ever confirmed. */
  abstract readonly kind: 'embedded' | 'emqx' | 'none';
  /** Live client ids of the subject. */
  abstract find(subject: string): Promise<string[]>;
  /** Refuses the client id before authentication, and keeps its will from being published. */
  abstract ban(clientId: string, seconds: number, reason: string): Promise<void>;
  abstract unban(clientId: string): Promise<void>;
  /** Banned client ids of the subject. */
  abstract bans(subject: string): Promise<string[]>;
  /** Ends connection and session. */
  abstract kick(clientId: string): Promise<void>;
  /** Drops cached verdicts, where the broker keeps any. */
  abstract resetCaches(): Promise<void>;
}

/** Stands in where the broker has no control interface that we speak: ejections then say that they are not confirmed. */
export class UnmanagedBroker extends BrokerControl {
  readonly kind = 'none';

  find(): Promise<string[]> {
    return Promise.reject(new Error('this broker is not managed'));
  }

  ban(): Promise<void> {
    return Promise.reject(new Error('this broker is not managed'));
  }

  unban(): Promise<void> {
    return Promise.reject(new Error('this broker is not managed'));
  }

  bans(): Promise<string[]> {
    return Promise.reject(new Error('this broker is not managed'));
  }

  kick(): Promise<void> {
    return Promise.reject(new Error('this broker is not managed'));
  }

  resetCaches(): Promise<void> {
    return Promise.reject(new Error('this broker is not managed'));
  }
}
