import type { AedesOptions, Client, PublishPacket } from 'aedes';
import { evaluateAcl } from './acl-evaluation.js';
import type { AclRequest } from './acl-evaluation.js';
import type { Bans } from './broker-bans.js';
import type { Session, SessionRegistry, Verdict } from './broker-session.js';
import type { SessionStore } from './broker-store.js';
import { DENIED_TOPIC, isBrokerOwn, isPrefixed, isTopicFilter, isTopicName, withoutPrefix } from './broker-topics.js';
import type { BrokerCounters, BrokerLogger, DeniedPublish } from './broker-types.js';
import type { CallbackClient } from './callback-client.js';

export interface AuthorizationParts {
  readonly callbacks: CallbackClient;
  readonly sessions: SessionRegistry;
  readonly store: SessionStore;
  readonly bans: Bans;
  readonly counters: BrokerCounters;
  readonly logger: BrokerLogger;
  readonly deniedPublishSink?: (denied: DeniedPublish) => void;
  /** True once the broker shuts down: wills of the clients it closes then are nobody's news. */
  readonly isStopping: () => boolean;
}

/** PUBLISH, SUBSCRIBE and wills: the connection's list first, the callback for what it does not speak of, else deny. */
export class Authorization {
  private sharedNoted = false;

  constructor(private readonly parts: AuthorizationParts) {}

  /** Also called for a will, at the moment it is to be published, with the closed client that left it. */
  readonly authorizePublish: NonNullable<AedesOptions['authorizePublish']> = (client, packet, callback) => {
    const session = client ? this.parts.sessions.of(client) : undefined;
    if (!client || !session) return callback(new Error('not an admitted client'));
    if (willOf(client) === packet) return this.authorizeWill(session, packet, callback);
    if (!isTopicName(packet.topic)) return callback(new Error('malformed topic'));
    const { topic, qos, retain } = packet;
    session.inOrder(
      () => this.judge(session, { action: 'publish', topic, qos, retain }),
      (verdict) => {
        // The acknowledgement cannot be written any more, so the message stays the client's to send again.
        if (client.closed && qos > 0) return;
        if (verdict === 'deny') {
          this.parts.counters.deniedPublishes += 1;
          this.noteDenied(session, packet, false);
          // An error would close the connection; EMQX drops the message and acknowledges it.
          packet.topic = DENIED_TOPIC;
          packet.retain = false;
          packet.payload = Buffer.alloc(0);
        }
        callback(null);
      },
    );
  };

  /** Also called for each filter of a persistent session that is resumed: rules may have been narrowed meanwhile. */
  readonly authorizeSubscribe: NonNullable<AedesOptions['authorizeSubscribe']> = (client, subscription, callback) => {
    const session = this.parts.sessions.of(client);
    if (!session) return callback(new Error('not an admitted client'));
    const { topic, qos } = subscription;
    if (!isTopicFilter(topic)) return callback(new Error('malformed topic filter'));
    session.inOrder(
      () => this.judge(session, { action: 'subscribe', topic, qos }),
      (verdict) => {
        // aedes would go on registering a closed client.
        if (client.closed) return;
        if (verdict === 'allow' && this.canServe(topic)) {
          this.parts.store.grant(subscription);
          return callback(null, subscription);
        }
        this.parts.counters.deniedSubscriptions += 1;
        void this.parts.store.removeSubscriptions(client, [topic]);
        callback(null, null);
      },
    );
  };

  /** The last look at a message on its way out; aedes calls it for live and for queued ones. */
  readonly authorizeForward: NonNullable<AedesOptions['authorizeForward']> = (client, packet) => {
    if (isBrokerOwn(packet.topic) || this.parts.sessions.of(client)?.expired !== false) return null;
    // A queue resumed: what waited under a filter that is not granted any more stays behind.
    if (!client.connected && !client.clean && !this.parts.store.expects(client.id, packet.topic)) return null;
    return packet;
  };

  private authorizeWill(session: Session, will: PublishPacket, callback: (error?: Error | null) => void): void {
    const { topic, qos, retain } = will;
    const banned = (): boolean => this.parts.bans.has(session.clientId);
    const drop = (): void => {
      this.parts.counters.deniedWills += 1;
      this.noteDenied(session, will, true);
      callback(new Error('will denied'));
    };
    if (this.parts.isStopping() || banned()) return drop();
    Promise.resolve(this.judge(session, { action: 'publish', topic, qos, retain }))
      .then((verdict) => (verdict === 'allow' && !banned() ? callback(null) : drop()))
      .catch((error: unknown) => this.parts.logger.error({ err: error }, 'will could not be published'));
  }

  private judge(session: Session, request: AclRequest): Verdict | Promise<Verdict> {
    if (session.expired) return 'deny';
    const listed = evaluateAcl(session.grant.acl, request);
    const verdict = listed === 'nomatch' ? this.ask(session, request) : listed;
    if (!isBrokerOwn(withoutPrefix(request.topic))) return verdict;
    return typeof verdict === 'string' ? 'deny' : verdict.then(() => 'deny');
  }

  private async ask(session: Session, request: AclRequest): Promise<Verdict> {
    const { attrs } = session.grant;
    const publish = request.action === 'publish';
    this.parts.counters.callbacks.acl += 1;
    const answer = await this.parts.callbacks.ask('mqtt-acl', {
      clientid: session.clientId,
      username: session.username,
      topic: publish ? request.topic : withoutPrefix(request.topic),
      action: request.action,
      qos: String(request.qos),
      retain: String(request.retain ?? false),
      access: publish ? '2' : '1',
      peerhost: session.peer.host,
      cert_common_name: '',
      mountpoint: '',
      device: attrs.get('device') ?? '',
      status: attrs.get('status') ?? '',
      ver: attrs.get('ver') ?? '',
    });
    if (!answer.ok) this.parts.counters.callbacks.failed += 1;
    return answer.ok && answer.body['result'] === 'allow' && !session.expired ? 'allow' : 'deny';
  }

  /** aedes grants `$share/…` and delivers nothing by it; a refusal says so at once. */
  private canServe(filter: string): boolean {
    if (!isPrefixed(filter)) return true;
    if (!this.sharedNoted) {
      this.sharedNoted = true;
      this.parts.logger.warn({ filter }, 'shared and exclusive subscriptions are refused by the embedded broker');
    }
    return false;
  }

  private noteDenied(session: Session, packet: PublishPacket, will: boolean): void {
    const { topic, qos, retain } = packet;
    this.parts.deniedPublishSink?.({ clientId: session.clientId, topic, qos, retain, will });
  }
}

/** aedes keeps the will beside the fields it types. */
function willOf(client: Client): unknown {
  return (client as Client & { readonly will?: unknown }).will;
}
