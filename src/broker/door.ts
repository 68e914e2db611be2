import { readFileSync } from 'node:fs';
import http, { type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import https from 'node:https';
import type { Socket } from 'node:net';
import { Inject, Injectable, type BeforeApplicationShutdown } from '@nestjs/common';
import { CONFIG, type Config } from '../platform/config/config.js';
import { Draining } from '../platform/http/draining.js';
import { type InternalHandler, InternalRoutes } from '../platform/http/internal-routes.js';
import { Metrics } from '../platform/telemetry/metrics.js';
import { Health } from '../platform/telemetry/health.js';
import { logger } from '../platform/telemetry/logger.js';
import { BrokerLine, type Answer } from './broker.line.js';
import { BrokerMetrics } from './broker.metrics.js';
import { BrokerSecrets } from './broker-secrets.js';

const AUTH_PATH = '/api/v1/internal/mqtt-auth';
const ACL_PATH = '/api/v1/internal/mqtt-acl';
const MAX_BODY = 2 * 1024 * 1024;
/** Longer than a broker lets a pooled connection idle, so that it is never cut under a request. */
const KEEP_ALIVE_MS = 120_000;
const REQUEST_TIMEOUT_MS = 10_000;
const DRAIN_MS = 5_000;
/** For so long a broker that is busy on its connections is told with its answers that they end. */
const LINGER_MS = 250;

/**
 * The internal listener: a plain `node:http` server of its own, so that none of Nest's guards, pipes and filters stands between
 * the broker and its answer. EMQX pipelines requests on few connections and takes answers in order; Node keeps that order.
 */
@Injectable()
export class BrokerDoor implements BeforeApplicationShutdown {
  private server?: Server;
  private connections?: Draining;
  private draining = false;
  /** While draining: the newest answer that each connection is owed. After it the connection may end, and not before. */
  private readonly owed = new WeakMap<Socket, ServerResponse>();
  private readonly secrets: BrokerSecrets;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly line: BrokerLine,
    private readonly brokerMetrics: BrokerMetrics,
    private readonly metrics: Metrics,
    private readonly health: Health,
    private readonly routes: InternalRoutes,
  ) {
    this.secrets = new BrokerSecrets(config.internal.secrets);
  }

  /** The port that was opened. */
  get port(): number {
    const address = this.server?.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** Opens the listener; called once everything behind it is ready. */
  async open(): Promise<void> {
    // Node would answer 400 without a Host: to EMQX that is "no opinion", and the next authenticator would decide.
    const options = { keepAliveTimeout: KEEP_ALIVE_MS, requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS, requireHostHeader: false };
    const { tls, port, host } = this.config.internal;
    const handler = (request: IncomingMessage, response: ServerResponse): void => this.handle(request, response);
    const server = tls
      ? https.createServer(
          { ...options, cert: readFileSync(tls.cert), key: readFileSync(tls.key), ca: readFileSync(tls.clientCa), requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.2' },
          handler,
        )
      : http.createServer(options, handler);
    this.connections = new Draining(server);
    // What is no HTTP at all gets no answer.
    server.on('clientError', (_error, socket) => socket.destroy());
    // Likewise 417 for an Expect that Node does not know: a server may pass over it (RFC 9110 §10.1.1).
    server.on('checkExpectation', handler);
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => {
        reject(error.code === 'EADDRINUSE' ? new Error(`Port ${port} on ${host} is in use; set INTERNAL_PORT to a free one.`, { cause: error }) : error);
      });
      server.listen(port, host, resolve);
    });
    server.on('error', (error) => logger.error({ err: error }, 'the internal listener failed'));
    this.server = server;
  }

  /**
   * Ends without leaving a question unanswered: busy connections are told so with their last answer (RFC 9112 §9.6), idle ones are
   * closed, those that never asked anything too, what is in flight is waited for.
   */
  async beforeApplicationShutdown(): Promise<void> {
    const server = this.server;
    if (!server?.listening) return;
    this.draining = true;
    await new Promise((resolve) => setTimeout(resolve, LINGER_MS));
    await this.connections?.close(DRAIN_MS);
  }

  private handle(request: IncomingMessage, response: ServerResponse): void {
    response.sendDate = false;
    if (this.draining) this.owed.set(request.socket, response);
    const path = pathOf(request.url ?? '/');
    if (path === AUTH_PATH || path === ACL_PATH) {
      if (request.method === 'POST' && this.isBroker(request)) this.answerQuestion(path === AUTH_PATH ? 'auth' : 'acl', request, response);
      else notFound(request, response);
      return;
    }
    if (request.method === 'POST') {
      const route = this.routes.find(path);
      if (route && this.isBroker(request)) this.answerRoute(route, request, response);
      else notFound(request, response);
      return;
    }
    if (request.method !== 'GET') return notFound(request, response);
    switch (path) {
      case '/health/live':
        return sendJson(response, 200, '{"status":"ok"}');
      case '/health/ready':
        return void this.sendReadiness(response);
      case '/metrics':
        return void this.sendMetrics(response);
      default:
        return notFound(request, response);
    }
  }

  private isBroker(request: IncomingMessage): boolean {
    const given = request.headers['x-internal-auth'];
    return typeof given === 'string' && this.secrets.accept(given);
  }

  private answerQuestion(door: 'auth' | 'acl', request: IncomingMessage, response: ServerResponse): void {
    const contentType = request.headers['content-type'] ?? '';
    const declared = Number(request.headers['content-length'] ?? 0);
    let chunks: Buffer[] = [];
    let size = 0;
    let answered = false;
    const refuseUnread = (): void => {
      answered = true;
      chunks = [];
      // The rest of the body is not wanted: the connection is closed after the answer.
      response.setHeader('connection', 'close');
      this.send(door, response, this.line.refuseUnread(door), performance.now());
      request.resume();
    };
    if (declared > MAX_BODY) return refuseUnread();
    request.on('data', (chunk: Buffer) => {
      if (answered) return;
      size += chunk.length;
      if (size > MAX_BODY) refuseUnread();
      else chunks.push(chunk);
    });
    request.on('end', () => {
      if (answered) return;
      const started = performance.now();
      const body = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
      const answer = door === 'auth' ? this.line.connect(body, contentType) : this.line.acl(body, contentType);
      if (answer instanceof Promise) void answer.then((settled) => this.send(door, response, settled, started));
      else this.send(door, response, answer, started);
    });
    request.on('error', () => response.destroy());
  }

  /** A path of another room: read whole, then handed over. */
  private answerRoute(handler: InternalHandler, request: IncomingMessage, response: ServerResponse): void {
    let chunks: Buffer[] = [];
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= MAX_BODY) chunks.push(chunk);
      else chunks = [];
    });
    request.on('end', () => {
      if (size > MAX_BODY) return void response.writeHead(413, { 'content-length': '0' }).end();
      handler(Buffer.concat(chunks), request.headers['content-type'] ?? '').then(
        ({ status, json }) => (json === undefined ? response.writeHead(status, { 'content-length': '0' }).end() : sendJson(response, status, json)),
        (error: unknown) => {
          logger.error({ err: error }, 'a path of the internal listener failed');
          response.writeHead(500, { 'content-length': '0' }).end();
        },
      );
    });
    request.on('error', () => response.destroy());
  }

  private send(door: 'auth' | 'acl', response: ServerResponse, answer: Answer, started: number): void {
    if (this.draining && this.owed.get(response.req.socket) === response) response.setHeader('connection', 'close');
    sendJson(response, 200, answer.json);
    this.brokerMetrics.count(door, answer.allow, answer.reason, (performance.now() - started) / 1000);
  }

  private async sendReadiness(response: ServerResponse): Promise<void> {
    const report = await this.health.readiness();
    sendJson(response, report.ready ? 200 : 503, JSON.stringify({ status: report.ready ? 'ready' : 'not ready', checks: report.checks }));
  }

  private async sendMetrics(response: ServerResponse): Promise<void> {
    try {
      const text = await this.metrics.registry.metrics();
      response.writeHead(200, { 'content-type': this.metrics.registry.contentType }).end(text);
    } catch (error) {
      logger.error({ err: error }, 'metrics could not be collected');
      response.writeHead(500).end();
    }
  }
}

function sendJson(response: ServerResponse, status: number, json: string): void {
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(json) });
  response.end(json);
}

/** Nothing here: an empty 404, the same for an unknown path and a wrong secret. */
function notFound(request: IncomingMessage, response: ServerResponse): void {
  request.resume();
  response.writeHead(404, { 'content-length': '0' }).end();
}

function pathOf(url: string): string {
  const query = url.indexOf('?');
  return query === -1 ? url : url.slice(0, query);
}
