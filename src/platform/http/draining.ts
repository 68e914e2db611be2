import type http from 'node:http';
import https from 'node:https';
import type { Socket } from 'node:net';

const POLL_MS = 50;

/**
 * Ends the connections of a server that no longer listens, without leaving a request unanswered. Node closes those that wait between
 * two requests, but takes one that has never asked anything for one that is about to, and would wait for it.
 */
export class Draining {
  /** Connections without a request so far, by their far end: a TLS connection is two sockets, one after the other. */
  private readonly silent = new Map<string, Socket>();
  private readonly secure: boolean;

  /** To be made before the server listens. */
  constructor(private readonly server: http.Server | https.Server) {
    this.secure = server instanceof https.Server;
    server.on('connection', (socket: Socket) => this.watch(socket));
    server.on('secureConnection', (socket: Socket) => this.watch(socket));
    server.on('request', ({ socket }: http.IncomingMessage) => void this.silent.delete(farEnd(socket)));
  }

  /**
   * To be called as the server stops to listen, and not awaited: the server's `close` says when all have gone. What is being
   * answered has `graceMs`, then it is cut.
   */
  begin(graceMs: number): void {
    const round = (): void => {
      this.server.closeIdleConnections();
      for (const socket of this.silent.values()) {
        // Half a request is waited for; what came in a handshake cannot be told from one.
        if (this.secure || socket.bytesRead === 0) socket.destroy();
      }
    };
    round();
    const polling = setInterval(round, POLL_MS);
    const deadline = setTimeout(() => {
      this.server.closeAllConnections();
      for (const socket of this.silent.values()) socket.destroy();
    }, graceMs);
    polling.unref();
    deadline.unref();
    this.server.once('close', () => {
      clearInterval(polling);
      clearTimeout(deadline);
    });
  }

  /** Stops to listen and waits until everybody has gone. */
  async close(graceMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    this.begin(graceMs);
    await closed;
  }

  private watch(socket: Socket): void {
    const name = farEnd(socket);
    this.silent.set(name, socket);
    socket.once('close', () => {
      if (this.silent.get(name) === socket) this.silent.delete(name);
    });
  }
}

function farEnd({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
