import { X509Certificate } from 'node:crypto';
import type { AddressInfo, Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import type { BrokerLogger, ListenerKind, PeerCertificate, SecureOptions } from './broker-types.js';

type Accept = (socket: Socket, listener: ListenerKind, certificate: PeerCertificate | null) => void;

const HANDSHAKE_MS = 10_000;
/** A tenant that is new gets an authority of its own: clients without their chain are known after this. */
const TRUST_EVERY_MS = 15_000;
const MAX_CONNECTIONS = 10_000;
/** So long a client that has said DISCONNECT may take to end TLS as well. */
const LEAVING_MS = 1_000;

/** TLS in front of the broker: one listener that demands a client certificate, one that never looks at one. */
export class SecureListeners {
  private readonly mtls: Server;
  private readonly token: Server;
  private timer: NodeJS.Timeout | undefined;
  private trusted = '';

  private constructor(
    private readonly options: SecureOptions,
    private readonly logger: BrokerLogger,
    accept: Accept,
  ) {
    const shared = { minVersion: 'TLSv1.2', handshakeTimeout: HANDSHAKE_MS, cert: options.certificate, key: options.key } as const;
    this.token = createServer(shared, (socket) => accept(socket, 'token', null));
    this.mtls = createServer({ ...shared, requestCert: true, rejectUnauthorized: true }, (socket) => {
      const certificate = certificateOf(socket);
      // Cannot be: the handshake has demanded one.
      if (certificate === null) socket.destroy();
      else accept(socket, 'mtls', certificate);
    });
    for (const server of [this.mtls, this.token]) {
      server.maxConnections = MAX_CONNECTIONS;
      server.on('tlsClientError', (error) => logger.debug({ err: error }, 'TLS handshake failed'));
    }
  }

  /** @throws one sentence if a port cannot be had. */
  static async open(options: SecureOptions, logger: BrokerLogger, accept: Accept): Promise<SecureListeners> {
    const listeners = new SecureListeners(options, logger, accept);
    try {
      await listeners.refresh();
      await listen(listeners.mtls, options.host, options.mtlsPort, 'MQTTS_PORT');
      await listen(listeners.token, options.host, options.tokenPort, 'MQTTS_TOKEN_PORT');
    } catch (error) {
      await listeners.close();
      throw error;
    }
    listeners.timer = setInterval(() => {
      listeners.refresh().catch((error: unknown) => logger.warn({ err: error }, 'authorities could not be read; those known stay'));
    }, TRUST_EVERY_MS);
    listeners.timer.unref();
    return listeners;
  }

  get ports(): { readonly mtls: number; readonly token: number } {
    return { mtls: (this.mtls.address() as AddressInfo).port, token: (this.token.address() as AddressInfo).port };
  }

  /** Reads the authorities anew. */
  async refresh(): Promise<void> {
    const ca = await this.options.trusted();
    const text = ca.join('');
    if (text === this.trusted) return;
    const { certificate, key } = this.options;
    this.mtls.setSecureContext({ cert: certificate, key, ca, minVersion: 'TLSv1.2' });
    this.trusted = text;
    this.logger.debug({ authorities: ca.length }, 'client certificates of these authorities are taken');
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    await Promise.all([this.mtls, this.token].map((server) => new Promise<void>((resolve) => server.close(() => resolve()))));
  }
}

/**
 * Lets a client that has said DISCONNECT leave in peace: it ends TLS too (close_notify), and a socket that is closed under that answers
 * with a reset, which the client reports as the failure of a session that went well. Nothing that it sends meanwhile is looked at
 * (MQTT 3.1.1 §3.14.4). Every other end, and a second one, is immediate.
 */
export function leaveInPeace(socket: Socket, hasDisconnected: () => boolean): void {
  const destroy = socket.destroy.bind(socket);
  let leaving = false;
  socket.destroy = (error?: Error): Socket => {
    if (leaving || error !== undefined || !hasDisconnected()) return destroy(error);
    leaving = true;
    const read = socket.read.bind(socket);
    socket.read = (): null => {
      while (read() !== null);
      return null;
    };
    const timer = setTimeout(destroy, LEAVING_MS).unref();
    socket.once('close', () => clearTimeout(timer));
    socket.end();
    return socket;
  };
}

/** The client's certificate in the words of EMQX; `null` where there is none. */
function certificateOf(socket: TLSSocket): PeerCertificate | null {
  const { raw } = socket.getPeerCertificate();
  if (!socket.authorized || raw === undefined) return null;
  const parsed = new X509Certificate(raw);
  // One attribute a line, in the order of the certificate; EMQX prints the last one first.
  const attributes = parsed.subject.split('\n');
  const commonName = attributes.find((attribute) => attribute.startsWith('CN='))?.slice(3) ?? '';
  return { commonName, subject: attributes.reverse().join(','), pem: raw.toString('base64') };
}

function listen(server: Server, host: string, port: number, variable: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'EADDRINUSE' ? 'is in use' : `cannot be listened on (${error.code ?? error.message})`;
      reject(new Error(`Port ${port} on ${host} ${why}; set ${variable}.`));
    });
    server.listen({ host, port }, () => {
      server.removeAllListeners('error');
      server.on('error', () => undefined);
      resolve();
    });
  });
}
