import type { Socket } from 'node:net';
import type { Clock } from '../platform/clock/clock.js';

/** What the broker needs of a logger; pino's has it. */
export interface BrokerLogger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** A PUBLISH or will that was taken off the client and handed to nobody. */
export interface DeniedPublish {
  readonly clientId: string;
  readonly topic: string;
  readonly qos: number;
  readonly retain: boolean;
  readonly will: boolean;
}

/** What a listener asks of clients: nothing, a certificate in the handshake, or a token or secret under TLS. */
export type ListenerKind = 'plain' | 'mtls' | 'token';

export interface SecureOptions {
  readonly host: string;
  /** 0 = any free port. */
  readonly mtlsPort: number;
  readonly tokenPort: number;
  /** PEM: the broker's own certificate with its chain, and the key. */
  readonly certificate: string;
  readonly key: string;
  /** PEM of the authorities whose client certificates are taken; asked again from time to time. */
  readonly trusted: () => Promise<string[]>;
}

export interface BrokerOptions {
  readonly host: string;
  /** 0 = any free port. */
  readonly port: number;
  /** Origin of the internal listener, `http://127.0.0.1:3001`. */
  readonly callbackUrl: string;
  /** One value of `MQTT_INTERNAL_AUTH_SECRET`, sent as `X-Internal-Auth`. */
  readonly internalSecret: string;
  /** TLS beside plain TCP; left out: none. */
  readonly secure?: SecureOptions;
  readonly logger: BrokerLogger;
  /** Whole packet, fixed header included; default 16384 as in the EMQX sample. */
  readonly maxPacketBytes?: number;
  /** For one callback, waiting for a free connection included; default 5000. */
  readonly authTimeoutMs?: number;
  /** From TCP accept to the complete CONNECT; default 10000. */
  readonly connectTimeoutMs?: number;
  /** CONNECTs waiting for their answer at once; more are told "server unavailable". Default 512. */
  readonly maxPendingAuths?: number;
  /** Told of every denied PUBLISH and will; must not throw. */
  readonly deniedPublishSink?: (denied: DeniedPublish) => void;
  readonly clock?: Clock;
}

/** Running totals since the start; `connections` alone is the present number of admitted clients. */
export interface BrokerCounters {
  connections: number;
  accepted: number;
  refused: number;
  expired: number;
  kicked: number;
  readonly callbacks: { auth: number; acl: number; failed: number };
  deniedPublishes: number;
  deniedSubscriptions: number;
  deniedWills: number;
}

/** The far end of a connection as it was at accept; a dead socket forgets its address. */
export interface Peer {
  readonly socket: Socket;
  readonly host: string;
  readonly port: string;
  readonly listener: ListenerKind;
  /** The client's certificate, verified in the handshake. */
  readonly certificate: PeerCertificate | null;
}

/** As EMQX renders it. */
export interface PeerCertificate {
  readonly commonName: string;
  /** RFC 4514, last element first. */
  readonly subject: string;
  /** base64 of the DER. */
  readonly pem: string;
}
