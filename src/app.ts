import cookie from '@fastify/cookie';
import helmet from '@fastify/helmet';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { randomUUID } from 'node:crypto';
import { AppModule, type AppOptions } from './app.module.js';
import { ERROR_CATALOGUE } from './catalogue.js';
import { openApiDocument, serveOpenApi } from './openapi.js';
import type { Config } from './platform/config/config.js';
import { requestOver, withRequestContext } from './platform/context/request-context.js';
import { renderErrorPage } from './platform/problem/error-page.js';
import { ProblemFilter, sendProblem } from './platform/problem/problem.filter.js';
import { Draining } from './platform/http/draining.js';
import { globalPrefix } from './platform/http/prefix.js';
import { validationPipe } from './platform/http/validation.js';
import { NestLogger } from './platform/telemetry/nest-logger.js';
import { logger } from './platform/telemetry/logger.js';

const BODY_LIMIT = 64 * 1024;
/** Two years. */
const HSTS_SECONDS = 63_072_000;
/** For requests that are being answered when the application stops. */
const DRAIN_MS = 5_000;
/** Request headers that a browser of another origin may send; a fixed list, never the one it asks for. */
const ALLOWED_HEADERS = ['authorization', 'content-type', 'idempotency-key', 'x-csrf-token', 'x-tenant', 'x-read-tenant'];
const EXPOSED_HEADERS = ['x-csrf-token', 'x-request-id', 'retry-after', 'idempotency-replayed'];

/** Builds the REST application; the caller starts it (`app.listen`, or `app.init` in tests). */
export async function createApp(options: AppOptions): Promise<NestFastifyApplication> {
  const { config } = options;
  const publicUrl = config.http.publicUrl;
  const adapter = new FastifyAdapter({
    bodyLimit: BODY_LIMIT,
    trustProxy: config.http.trustProxy.length > 0 ? [...config.http.trustProxy] : false,
    genReqId: () => randomUUID(),
    // The socket's errors, a URL such as /%zz among them, are met before any filter.
    frameworkErrors: (error: unknown, request: unknown, reply: unknown) => {
      // No hook runs for them, those of helmet among them.
      void (reply as FastifyReply).headers({
        'x-content-type-options': 'nosniff',
        'content-security-policy': "default-src 'none';frame-ancestors 'none'",
        'strict-transport-security': hstsOf(config),
      });
      sendProblem(error, publicUrl, request as FastifyRequest, reply as FastifyReply);
    },
  });
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.forRoot(options), adapter, {
    logger: new NestLogger(),
    bufferLogs: false,
    abortOnError: false,
  });
  const fastify = adapter.getInstance<FastifyInstance>();
  endConnectionsAtClose(fastify);
  addRequestContext(fastify);
  hideInternalPaths(fastify);
  addBodyParsers(fastify);
  await app.register(cookie);
  await app.register(helmet, {
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'self'"],
        styleSrc: ["'self'", "'unsafe-inline'"],
        imgSrc: ["'self'", 'data:'],
        objectSrc: ["'none'"],
        baseUri: ["'none'"],
        frameAncestors: ["'none'"],
      },
    },
    hsts: config.production ? { maxAge: HSTS_SECONDS, includeSubDomains: true } : { maxAge: 0 },
  });
  app.enableCors({
    origin: [...config.http.corsOrigins],
    credentials: true,
    methods: ['GET', 'POST', 'PATCH', 'PUT', 'DELETE'],
    allowedHeaders: ALLOWED_HEADERS,
    exposedHeaders: EXPOSED_HEADERS,
    maxAge: 600,
  });
  globalPrefix(app);
  app.useGlobalPipes(validationPipe());
  app.useGlobalFilters(new ProblemFilter(publicUrl));
  serveErrorPage(fastify);
  serveOpenApi(app, openApiDocument(app));
  return app;
}

/** As helmet says it. */
function hstsOf({ production }: Config): string {
  return production ? `max-age=${HSTS_SECONDS}; includeSubDomains` : 'max-age=0; includeSubDomains';
}

/** Fastify closes its server and then waits for whoever is connected. Its own `forceCloseConnections` would cut answers. */
function endConnectionsAtClose(fastify: FastifyInstance): void {
  const connections = new Draining(fastify.server);
  fastify.addHook('preClose', (done) => {
    connections.begin(DRAIN_MS);
    done();
  });
}

/** Every line of the log and every audit row of a request bears its id and the client's address. */
function addRequestContext(fastify: FastifyInstance): void {
  fastify.addHook('onRequest', (request, reply, done) => {
    const userAgent = request.headers['user-agent'];
    void reply.header('x-request-id', request.id);
    void reply.header('cache-control', 'no-store');
    // Comes once, whether the answer was sent or the client went away.
    reply.raw.once('close', requestOver);
    withRequestContext({ requestId: request.id, ip: request.ip, ...(userAgent === undefined ? {} : { userAgent }) }, done);
  });
  fastify.addHook('onResponse', (request, reply, done) => {
    logger.info(
      { method: request.method, path: request.url.split('?')[0], status: reply.statusCode, ms: Math.round(reply.elapsedTime), ip: request.ip },
      'request',
    );
    done();
  });
}

/** The broker's paths do not exist here: an empty 404, whatever the secret. */
function hideInternalPaths(fastify: FastifyInstance): void {
  fastify.addHook('onRequest', (request, reply, done) => {
    if (/^\/+api\/+v1\/+internal(?:[/?#;%]|$)/i.test(request.url)) {
      void reply.code(404).header('content-length', '0').send();
      return;
    }
    done();
  });
}

/** JSON, NDJSON and questions about certificates; nothing else is read. NDJSON arrives as a stream, bounded by the route that reads it. */
function addBodyParsers(fastify: FastifyInstance): void {
  fastify.removeContentTypeParser('text/plain');
  fastify.addContentTypeParser('application/x-ndjson', { bodyLimit: Number.MAX_SAFE_INTEGER }, (_request, payload, done) => {
    done(null, payload);
  });
  fastify.addContentTypeParser('application/ocsp-request', { parseAs: 'buffer', bodyLimit: BODY_LIMIT }, (_request, body, done) => {
    done(null, body);
  });
}

/** What `type` of a problem points to. */
function serveErrorPage(fastify: FastifyInstance): void {
  const page = renderErrorPage(ERROR_CATALOGUE);
  fastify.get('/docs/errors', (_request, reply) => reply.header('content-type', 'text/html; charset=utf-8').send(page));
}

/** Opens the REST listener; a taken port is one clear sentence. */
export async function listen(app: NestFastifyApplication, { http }: Config): Promise<string> {
  try {
    await app.listen(http.port, http.host);
    return await app.getUrl();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') {
      throw new Error(`Port ${http.port} on ${http.host} is in use; set PORT to a free one.`, { cause: error });
    }
    throw error;
  }
}
