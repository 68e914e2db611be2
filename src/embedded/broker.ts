import { Aedes } from 'aedes';
import type { Client } from 'aedes';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { SystemClock } from '../platform/clock/clock.js';
import type { Clock } from '../platform/clock/clock.js';
import { belongsTo, type LiveSession } from '../lifecycle/broker-control.js';
import { Admission } from './broker-admission.js';
import { Authorization } from './broker-authorization.js';
import { Bans } from './broker-bans.js';
import { limitPacketSize } from './broker-packets.js';
import { SessionRegistry } from './broker-session.js';
import type { Session } from './broker-session.js';
import { SessionStore } from './broker-store.js';
import { leaveInPeace, SecureListeners } from './broker-tls.js';
import type { BrokerCounters, BrokerOptions, ListenerKind, Peer, PeerCertificate } from './broker-types.js';
import { CallbackClient } from './callback-client.js';

/** Members of aedes and of its clients that its types leave out. */
interface ClientInternals {
  /** Has said DISCONNECT. */
  readonly _disconnected: boolean;
}

interface AedesInternals {
  readonly clients: Readonly<Record<string, Client | undefined>>;
  deleteClient(clientId: string): void;
}

const MAX_CONNECTIONS = 10_000;
/** aedes stops at 100 whatever it is told; EMQX at 128. */
const MAX_TOPIC_LEVELS = 100;
/** A subscriber that does not read holds up messages to everyone; it loses its connection after this. */
const DRAIN_TIMEOUT_MS = 5_000;
/** EMQX's session expiry for clients of MQTT 3.1.1. */
const SESSION_EXPIRY_MS = 2 * 60 * 60 * 1000;
const SWEEP_INTERVAL_MS = 60_000;
const STOP_TIMEOUT_MS = 1_500;
/** aedes announces itself to other brokers; there are none. Four times this still fits a timer. */
const NEVER_MS = 2 ** 29 - 1;

/**
 * MQTT 3.1 and 3.1.1 for a laptop, on plain TCP and under TLS: aedes, made to ask the HTTP callbacks that EMQX would ask and to react
 * to their answers as EMQX does. Sessions, bans and retained messages live in memory. The verbs are those of the port
 * for broker control.
 */
export class EmbeddedBroker {
  readonly counters: BrokerCounters = {
    connections: 0,
    accepted: 0,
    refused: 0,
    expired: 0,
    kicked: 0,
    callbacks: { auth: 0, acl: 0, failed: 0 },
    deniedPublishes: 0,
    deniedSubscriptions: 0,
    deniedWills: 0,
  };
  private readonly sessions = new SessionRegistry();
  private readonly store = new SessionStore();
  private readonly sockets = new Set<Socket>();
  private readonly peers = new WeakMap<Client, Peer>();
  private readonly clock: Clock;
  private readonly banned: Bans;
  private readonly callbacks: CallbackClient;
  private readonly server: Server;
  private secure: SecureListeners | undefined;
  private aedes: (Aedes & AedesInternals) | undefined;
  private sweeper: NodeJS.Timeout | undefined;
  private stopped: Promise<void> | undefined;

  private constructor(private readonly options: BrokerOptions) {
    this.clock = options.clock ?? new SystemClock();
    this.banned = new Bans(this.clock);
    this.callbacks = new CallbackClient({
      url: options.callbackUrl,
      secret: options.internalSecret,
      timeoutMs: options.authTimeoutMs ?? 5_000,
      logger: options.logger,
    });
    this.server = createServer((socket) => this.accept(socket, 'plain', null));
    this.server.maxConnections = MAX_CONNECTIONS;
  }

  /** Rejects with one sentence for a person if the port cannot be had. */
  static async start(options: BrokerOptions): Promise<EmbeddedBroker> {
    const broker = new EmbeddedBroker(options);
    try {
      await broker.open();
    } catch (error) {
      await broker.stop();
      throw error;
    }
    return broker;
  }

  /** The port listened on, also when any free one was asked for. */
  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** The TLS ports, where there are any. */
  get securePorts(): SecureListeners['ports'] | null {
    return this.secure?.ports ?? null;
  }

  /** Closes every connection and the listener; no will is published. Takes less than two seconds. */
  stop(): Promise<void> {
    this.stopped ??= this.shutDown();
    return this.stopped;
  }

  /** Live client ids: exactly the subject id, or `subject:…`. A CONNECT still being judged is not among them. */
  async find(subject: string): Promise<string[]> {
    return this.sessions.clientIds().filter((clientId) => belongsTo(clientId, subject));
  }

  /** As `find`, with the version of the facts on which each was let in. */
  liveSessions(subject: string): LiveSession[] {
    return this.sessions.clientIds().filter((clientId) => belongsTo(clientId, subject)).map((clientId) => {
      const version = Number(this.sessions.get(clientId)?.grant.attrs.get('ver') ?? Number.NaN);
      return { clientId, factsVersion: Number.isSafeInteger(version) ? version : null };
    });
  }

  /** Refuses the client id at CONNECT, before any question is asked, and keeps back its will. */
  async ban(clientId: string, seconds: number, reason: string): Promise<void> {
    this.banned.add(clientId, seconds);
    this.options.logger.info({ clientId, seconds, reason }, 'client id banned');
  }

  async unban(clientId: string): Promise<void> {
    this.banned.remove(clientId);
  }

  /** Banned client ids of a subject, ended bans left out. */
  async bans(subject: string): Promise<string[]> {
    return this.banned.list().filter((clientId) => belongsTo(clientId, subject));
  }

  /** Closes the connection and ends the persistent session. Resolves when the socket is closed. */
  async kick(clientId: string): Promise<void> {
    const session = this.sessions.get(clientId);
    if (session === undefined) return this.store.purge(clientId);
    this.counters.kicked += 1;
    session.discard = true;
    session.close();
    await session.ended;
  }

  /** Verdicts are not cached here. */
  async resetCaches(): Promise<void> {}

  private async open(): Promise<void> {
    this.aedes = await this.createAedes();
    await listen(this.server, this.options);
    const { secure, logger } = this.options;
    if (secure) {
      this.secure = await SecureListeners.open(secure, logger, (socket, listener, certificate) => this.accept(socket, listener, certificate));
    }
    this.server.on('error', (error) => this.options.logger.error({ err: error }, 'MQTT listener failed'));
    this.sweeper = setInterval(() => this.sweep(), SWEEP_INTERVAL_MS);
    this.sweeper.unref();
  }

  private async createAedes(): Promise<Aedes & AedesInternals> {
    const { options, callbacks, sessions, store, banned: bans, clock, counters } = this;
    const { logger } = options;
    const admission = new Admission({
      callbacks, sessions, bans, clock, counters, logger,
      maxPendingAuths: options.maxPendingAuths ?? 512,
      peerOf: (client) => this.peers.get(client),
      onAdmitted: (session) => this.onAdmitted(session),
    });
    const { deniedPublishSink } = options;
    const isStopping = (): boolean => this.stopped !== undefined;
    const authorization = new Authorization({
      callbacks, sessions, store, bans, counters, logger, deniedPublishSink, isStopping,
    });
    const aedes = await Aedes.createBroker({
      persistence: store,
      heartbeatInterval: NEVER_MS,
      connectTimeout: options.connectTimeoutMs ?? 10_000,
      drainTimeout: DRAIN_TIMEOUT_MS,
      concurrency: 1_000,
      maxTopicLevels: MAX_TOPIC_LEVELS,
      // MQTT 3.1 would stop at 23, and a device id alone has 36.
      maxClientsIdLength: 65_535,
      preConnect: admission.preConnect,
      authenticate: admission.authenticate,
      authorizePublish: authorization.authorizePublish,
      authorizeSubscribe: authorization.authorizeSubscribe,
      authorizeForward: authorization.authorizeForward,
    });
    aedes.on('clientError', (client, error) => logger.debug({ clientId: client.id, err: error }, 'MQTT client failed'));
    aedes.on('connectionError', (_client, error) => logger.debug({ err: error }, 'MQTT connection failed'));
    // Not among its typed events, and fatal to the process without a listener.
    (aedes as NodeJS.EventEmitter).on('error', (error: unknown) => logger.error({ err: error }, 'MQTT broker failed'));
    return aedes as Aedes & AedesInternals;
  }

  private accept(socket: Socket, listener: ListenerKind, certificate: PeerCertificate | null): void {
    socket.on('error', () => undefined);
    if (this.stopped !== undefined || this.aedes === undefined) {
      socket.destroy();
      return;
    }
    this.sockets.add(socket);
    socket.once('close', () => this.sockets.delete(socket));
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 60_000);
    limitPacketSize(socket, this.options.maxPacketBytes ?? 16_384);
    const host = (socket.remoteAddress ?? '').replace(/^::ffff:(?=\d+\.)/, '');
    const peer: Peer = { socket, host, port: String(socket.remotePort ?? ''), listener, certificate };
    const client = this.aedes.handle(socket);
    this.peers.set(client, peer);
    if (listener !== 'plain') leaveInPeace(socket, () => (client as unknown as ClientInternals)._disconnected);
  }

  private onAdmitted(session: Session): void {
    this.counters.connections += 1;
    // First in line: whoever waits for the end finds everything put away.
    void session.ended.then(() => this.onEnded(session));
    session.armExpiry(() => (this.counters.expired += 1));
  }

  private onEnded(session: Session): void {
    this.counters.connections -= 1;
    this.sessions.remove(session);
    // A client that was closed in the middle of its CONNECT is registered by aedes all the same.
    if (this.aedes?.clients[session.clientId] === session.client) this.aedes.deleteClient(session.clientId);
    if (session.discard || session.client.clean) this.store.purge(session.clientId);
    else this.store.leave(session.clientId, this.clock.now());
  }

  private sweep(): void {
    this.banned.sweep();
    this.store.expire(this.clock.now(), SESSION_EXPIRY_MS, (clientId) => this.sessions.get(clientId) !== undefined);
  }

  private async shutDown(): Promise<void> {
    clearInterval(this.sweeper);
    this.callbacks.close();
    const closed = Promise.all([new Promise<void>((resolve) => this.server.close(() => resolve())), this.secure?.close()]);
    const { aedes } = this;
    const released = aedes ? new Promise<void>((resolve) => aedes.close(resolve)) : Promise.resolve();
    for (const socket of this.sockets) socket.destroy();
    const timeout = new Promise<void>((resolve) => setTimeout(resolve, STOP_TIMEOUT_MS).unref());
    await Promise.race([Promise.all([closed, released]), timeout]);
  }
}

function listen(server: Server, { host, port }: BrokerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(new Error(whyNotListening(error, host, port))));
    server.listen({ host, port }, () => {
      server.removeAllListeners('error');
      resolve();
    });
  });
}

function whyNotListening(error: NodeJS.ErrnoException, host: string, port: number): string {
  if (error.code === 'EADDRINUSE') return `Port ${port} on ${host} is in use; set MQTT_PORT.`;
  if (error.code === 'EACCES') return `This user may not listen on port ${port} on ${host}; set MQTT_PORT.`;
  return `The embedded broker cannot listen on ${host}:${port} (${error.code ?? error.message}).`;
}
