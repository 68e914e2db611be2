import type { AedesOptions, AuthenticateError, Client, ConnectPacket } from 'aedes';
import { randomBytes } from 'node:crypto';
import type { Clock } from '../platform/clock/clock.js';
import { readAuthAnswer } from './broker-answer.js';
import type { Bans } from './broker-bans.js';
import { Session } from './broker-session.js';
import type { SessionRegistry } from './broker-session.js';
import { isTopicName } from './broker-topics.js';
import type { BrokerCounters, BrokerLogger, ListenerKind, Peer } from './broker-types.js';
import type { CallbackClient } from './callback-client.js';

/** CONNACK return codes (MQTT 3.1.1 §3.2.2.3); null = accepted. */
type Refusal = 2 | 3 | 4 | 5 | null;

/** Names that EMQX gives to such listeners. */
const LISTENERS: Readonly<Record<ListenerKind, string>> = { plain: 'tcp:default', mtls: 'ssl:default', token: 'ssl:token' };

export interface AdmissionParts {
  readonly callbacks: CallbackClient;
  readonly sessions: SessionRegistry;
  readonly bans: Bans;
  readonly clock: Clock;
  readonly counters: BrokerCounters;
  readonly logger: BrokerLogger;
  readonly maxPendingAuths: number;
  /** The connection's far end, noted at accept. */
  readonly peerOf: (client: Client) => Peer | undefined;
  /** Called once for each admitted connection, before the CONNACK. */
  readonly onAdmitted: (session: Session) => void;
}

/** CONNECT: ban, question, answer, take-over. Every way out but one is a refusal. */
export class Admission {
  private readonly nameless = new WeakSet<Client>();
  private pending = 0;

  constructor(private readonly parts: AdmissionParts) {}

  readonly preConnect: NonNullable<AedesOptions['preConnect']> = (client, packet: ConnectPacket, callback) => {
    if (packet.will && !isTopicName(packet.will.topic)) return callback(new Error('malformed will topic'), false);
    if (packet.clientId === '') {
      this.nameless.add(client);
      // The callback has to see the name under which the broker will know the client.
      packet.clientId = randomBytes(12).toString('base64url');
    }
    callback(null, true);
  };

  readonly authenticate: NonNullable<AedesOptions['authenticate']> = (client, username, password, done) => {
    this.judge(client, username ?? '', password)
      .catch((error: unknown): Refusal => {
        this.parts.logger.error({ err: error }, 'CONNECT could not be judged');
        return 5;
      })
      .then((refusal) => {
        if (refusal === null) return done(null, true);
        this.parts.counters.refused += 1;
        done(refusalError(refusal), null);
      })
      .catch(() => client.close());
  };

  private async judge(client: Client, username: string, password: Buffer | undefined): Promise<Refusal> {
    const { bans, counters, maxPendingAuths } = this.parts;
    const peer = this.parts.peerOf(client);
    if (peer === undefined) return 5;
    // MQTT 3.1.1 §3.1.3.1: a client without a name cannot ask for a persistent session.
    if (this.nameless.has(client) && !client.clean) return 2;
    if (bans.has(client.id)) return 5;
    const secret = decodeUtf8(password);
    if (secret === null) return 5;
    if (this.pending >= maxPendingAuths) return 3;
    this.pending += 1;
    counters.callbacks.auth += 1;
    const answer = await this.parts.callbacks
      .ask('mqtt-auth', this.question(client, peer, username, secret))
      .finally(() => (this.pending -= 1));
    if (!answer.ok) {
      counters.callbacks.failed += 1;
      return 5;
    }
    const verdict = readAuthAnswer(answer.body, this.parts.clock.now());
    if (!verdict.allow) {
      this.parts.logger.debug({ clientId: client.id, why: verdict.why }, 'CONNECT refused');
      return verdict.returnCode;
    }
    return this.admit(new Session(client, peer, username, verdict.grant, this.parts.clock));
  }

  /**
   * Ends the connection that holds the client id (MQTT-3.1.4-2) and waits until it is gone: aedes would mix up the two
   * otherwise and lose sight of the living one. A ban set while the answer was under way is honoured here.
   */
  private async admit(session: Session): Promise<Refusal> {
    const { sessions, bans, counters } = this.parts;
    for (;;) {
      const earlier = sessions.get(session.clientId);
      if (earlier === undefined) break;
      earlier.close();
      await earlier.ended;
    }
    if (bans.has(session.clientId)) return 5;
    // Gone while it waited: nothing to register. aedes drops the answer.
    if (session.client.closed || session.peer.socket.destroyed) return 5;
    sessions.add(session);
    counters.accepted += 1;
    this.parts.onAdmitted(session);
    return null;
  }

  private question(client: Client, peer: Peer, username: string, password: string): Record<string, string> {
    return {
      clientid: client.id,
      username,
      password,
      peerhost: peer.host,
      peerport: peer.port,
      cert_common_name: peer.certificate?.commonName ?? '',
      cert_subject: peer.certificate?.subject ?? '',
      cert_pem: peer.certificate?.pem ?? '',
      listener_kind: peer.listener,
      listener: LISTENERS[peer.listener],
      zone: 'default',
      proto_name: 'mqtt',
    };
  }
}

/** EMQX cannot put other bytes into JSON and refuses without asking. */
function decodeUtf8(bytes: Buffer | undefined): string | null {
  if (bytes === undefined) return '';
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

function refusalError(returnCode: number): AuthenticateError {
  return Object.assign(new Error('refused'), { returnCode });
}
