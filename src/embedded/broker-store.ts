import { Readable } from 'node:stream';
import type { AedesPublishPacket, Subscription } from 'aedes';
import { DENIED_TOPIC, reaches } from './broker-topics.js';

/** What survives the connection of a client with a persistent session (MQTT 3.1.1 §3.1.2.4). */
interface StoredSession {
  /** By filter; `levels` is the filter cut once. */
  readonly subscriptions: Map<string, { readonly qos: 0 | 1 | 2; readonly levels: readonly string[] }>;
  queue: QueuedPacket[];
  /** Packet ids of QoS 2 messages taken and not yet released. */
  readonly incoming: Set<number>;
  /** ms since the epoch; null while connected. */
  offlineSince: number | null;
}

/** A message waiting for its acknowledgement, or the PUBREL that took its place. */
interface QueuedPacket {
  readonly cmd: string;
  readonly brokerId?: string;
  readonly brokerCounter?: number;
  messageId?: number;
}

type ClientRef = { readonly id: string };
type ClientState = { readonly closed: boolean; readonly clean: boolean };

/** EMQX's `max_mqueue_len`. */
const MAX_QUEUE = 1000;
const MAX_RETAINED = 10_000;

/**
 * Sessions and retained messages of the embedded broker, in memory, in the shape that aedes asks of a persistence.
 * The one that aedes brings stores every filter of a SUBSCRIBE as soon as one of them was granted, and queues without
 * bound for clients that never return; this one keeps granted filters only and the newest thousand messages.
 */
export class SessionStore {
  private readonly sessions = new Map<string, StoredSession>();
  private readonly retained = new Map<string, AedesPublishPacket>();
  private readonly granted = new WeakSet<object>();

  /** Only subscriptions marked here are kept by `addSubscriptions`. */
  grant(subscription: Subscription): void {
    this.granted.add(subscription);
  }

  /** Everything of a client's session is gone, as after a kick. */
  purge(clientId: string): void {
    this.sessions.delete(clientId);
  }

  /** Marks the session of a client that went away; `now` in ms. */
  leave(clientId: string, now: number): void {
    const session = this.sessions.get(clientId);
    if (session) session.offlineSince = now;
  }

  /** Ends sessions whose client has been away for more than `maxAgeMs`. Run it now and then. */
  expire(now: number, maxAgeMs: number, isLive: (clientId: string) => boolean): void {
    for (const [clientId, session] of this.sessions) {
      // A message that was under way when its client left may have made the entry anew.
      if (!isLive(clientId)) session.offlineSince ??= now;
      if (session.offlineSince !== null && now - session.offlineSince > maxAgeMs) this.sessions.delete(clientId);
    }
  }

  /** Whether a stored filter of the client reaches `topic`. */
  expects(clientId: string, topic: string): boolean {
    const levels = topic.split('/');
    return [...(this.sessions.get(clientId)?.subscriptions.values() ?? [])].some((sub) => reaches(sub.levels, levels));
  }

  // Below: what aedes calls. It insists on `setup` being an async function.

  async setup(): Promise<void> {}

  async addSubscriptions(client: ClientRef, subscriptions: readonly Subscription[]): Promise<void> {
    const stored = this.sessionOf(client.id).subscriptions;
    for (const sub of subscriptions) {
      if (this.granted.has(sub)) stored.set(sub.topic, { qos: sub.qos, levels: sub.topic.split('/') });
    }
  }

  async removeSubscriptions(client: ClientRef, filters: readonly string[]): Promise<void> {
    for (const filter of filters) this.sessions.get(client.id)?.subscriptions.delete(filter);
  }

  async subscriptionsByClient(client: ClientRef): Promise<{ topic: string; qos: 0 | 1 | 2 }[]> {
    const session = this.sessions.get(client.id);
    if (!session) return [];
    session.offlineSince = null;
    return [...session.subscriptions].map(([topic, { qos }]) => ({ topic, qos }));
  }

  /** A CONNECT with a clean session ends the one before it, queue included. */
  async cleanSubscriptions(client: ClientRef): Promise<void> {
    this.purge(client.id);
  }

  /** Each persistent session at most once, with its best QoS: a second copy would outlive the acknowledgement. */
  async subscriptionsByTopic(topic: string): Promise<{ clientId: string; topic: string; qos: number }[]> {
    if (topic === DENIED_TOPIC) return [];
    const levels = topic.split('/');
    const found: { clientId: string; topic: string; qos: number }[] = [];
    for (const [clientId, { subscriptions }] of this.sessions) {
      let qos = 0;
      for (const sub of subscriptions.values()) if (sub.qos > qos && reaches(sub.levels, levels)) qos = sub.qos;
      if (qos > 0) found.push({ clientId, topic, qos });
    }
    return found;
  }

  async outgoingEnqueue(sub: { clientId: string; qos?: number }, packet: AedesPublishPacket): Promise<void> {
    const { queue } = this.sessionOf(sub.clientId);
    if (queue.length >= MAX_QUEUE) {
      // The oldest that is not under way makes room.
      const oldest = queue.findIndex((waiting) => waiting.messageId === undefined);
      if (oldest < 0) return;
      queue.splice(oldest, 1);
    }
    const qos = Math.min(packet.qos, sub.qos ?? 2) as 0 | 1 | 2;
    queue.push({ ...packet, qos, messageId: undefined } as QueuedPacket);
  }

  async outgoingEnqueueCombi(
    subs: readonly { clientId: string; qos: number }[],
    packet: AedesPublishPacket,
  ): Promise<void> {
    for (const sub of subs) await this.outgoingEnqueue(sub, packet);
  }

  /** Notes the packet id, or puts a PUBREL in the place of its message. What was dropped meanwhile needs no note. */
  async outgoingUpdate(client: ClientRef, packet: QueuedPacket): Promise<void> {
    const queue = this.sessions.get(client.id)?.queue ?? [];
    const index = queue.findIndex((waiting) =>
      waiting.brokerId === packet.brokerId
        ? waiting.brokerCounter === packet.brokerCounter
        : waiting.messageId === packet.messageId,
    );
    const waiting = queue[index];
    if (waiting === undefined) return;
    if (waiting.brokerId === packet.brokerId) waiting.messageId = packet.messageId;
    else queue[index] = packet;
  }

  /** Takes an acknowledged message out; nothing without a packet id, which an overlapping filter's copy has not. */
  async outgoingClearMessageId(client: ClientRef, packet: { messageId?: number }): Promise<QueuedPacket | undefined> {
    const queue = this.sessions.get(client.id)?.queue;
    if (queue === undefined || packet.messageId === undefined) return undefined;
    const index = queue.findIndex((waiting) => waiting.messageId === packet.messageId);
    return index < 0 ? undefined : queue.splice(index, 1)[0];
  }

  outgoingStream(client: ClientRef): Readable {
    return Readable.from([...(this.sessions.get(client.id)?.queue ?? [])]);
  }

  async incomingStorePacket(client: ClientRef & ClientState, packet: { messageId?: number }): Promise<void> {
    // A clean session that has just ended must not begin anew: its packet ids would pass for duplicates later.
    if (client.closed && client.clean) return;
    if (packet.messageId !== undefined) this.sessionOf(client.id).incoming.add(packet.messageId);
  }

  async incomingGetPacket(client: ClientRef, packet: { messageId?: number }): Promise<true> {
    if (this.sessions.get(client.id)?.incoming.has(packet.messageId ?? -1)) return true;
    throw new Error('no such packet');
  }

  async incomingDelPacket(client: ClientRef, packet: { messageId?: number }): Promise<void> {
    this.sessions.get(client.id)?.incoming.delete(packet.messageId ?? -1);
  }

  async cleanIncoming(client: ClientRef): Promise<void> {
    this.sessions.get(client.id)?.incoming.clear();
  }

  async storeRetained(packet: AedesPublishPacket): Promise<void> {
    if (packet.payload.length === 0) this.retained.delete(packet.topic);
    else if (this.retained.has(packet.topic) || this.retained.size < MAX_RETAINED) {
      this.retained.set(packet.topic, { ...packet });
    }
  }

  createRetainedStreamCombi(filters: readonly string[]): Readable {
    const cut = filters.map((filter) => filter.split('/'));
    const found = [...this.retained.values()].filter((packet) => {
      const levels = packet.topic.split('/');
      return cut.some((filter) => reaches(filter, levels));
    });
    return Readable.from(found);
  }

  // A will lives with its connection and dies with this process, so there is nothing to keep. aedes publishes
  // what it finds stored under a broker that it has not heard of for a while: never one's own by mistake.

  async putWill(): Promise<void> {}

  async delWill(): Promise<void> {}

  streamWill(): Readable {
    return Readable.from([]);
  }

  private sessionOf(clientId: string): StoredSession {
    const known = this.sessions.get(clientId);
    if (known) return known;
    const fresh: StoredSession = { subscriptions: new Map(), queue: [], incoming: new Set(), offlineSince: null };
    this.sessions.set(clientId, fresh);
    return fresh;
  }
}
