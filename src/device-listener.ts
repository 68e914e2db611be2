import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { isIP } from 'node:net';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';
import { CertificatesService } from './pki/certificates.service.js';
import { PublicationsService } from './pki/publications.service.js';
import type { Config } from './platform/config/config.js';
import { Draining } from './platform/http/draining.js';
import { logger } from './platform/telemetry/logger.js';
import { TenantsService } from './users/tenants.service.js';

const TRUST_EVERY_MS = 15_000;
/** For requests that are being answered when the listener closes. */
const DRAIN_MS = 5_000;
/** What a device does for itself; people and everything else stay on the other port. */
const OF_DEVICES = /^\/api\/v1\/devices\/[0-9a-f-]{36}\//;

export interface DeviceListener {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * TLS for devices that prove themselves with their certificate: the handshake demands one of our authorities', and the routes of
 * devices then know who calls. The certificate of the listener is made at each start, by the authority of `default`.
 */
export async function openDeviceListener(app: NestFastifyApplication, config: Config, port: number): Promise<DeviceListener> {
  const publications = app.get(PublicationsService);
  const hosts = [...new Set([new URL(config.http.publicUrl).hostname, config.mqtt.publicHost, 'localhost', '127.0.0.1'])];
  const own = await app.get(CertificatesService).issueServer(
    await app.get(TenantsService).defaultTenantId(),
    hosts.map((host) => (isIP(host) === 0 ? { dns: host } : { ip: host })),
  );
  const identity = { cert: own.certificate + own.chain, key: own.privateKey ?? '', minVersion: 'TLSv1.2' } as const;
  let trusted = await publications.trusted();
  const fastify: FastifyInstance = app.getHttpAdapter().getInstance();
  const server = createServer({ ...identity, ca: trusted, requestCert: true, rejectUnauthorized: true }, (request, response) => {
    if (OF_DEVICES.test(request.url ?? '')) fastify.routing(request, response);
    else response.writeHead(404, { 'content-length': '0' }).end();
  });
  const connections = new Draining(server);
  server.on('tlsClientError', (error) => logger.debug({ err: error }, 'TLS handshake of a device failed'));
  await listen(server, config.http.host, port);
  const timer = setInterval(() => {
    publications.trusted().then(
      (now) => {
        if (now.join('') === trusted.join('')) return;
        trusted = now;
        server.setSecureContext({ ...identity, ca: now });
      },
      (error: unknown) => logger.warn({ err: error }, 'authorities could not be read; those known stay'),
    );
  }, TRUST_EVERY_MS);
  timer.unref();
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      clearInterval(timer);
      return connections.close(DRAIN_MS);
    },
  };
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(new Error(`Port ${port} on ${host} cannot be listened on (${error.code ?? error.message}); set DEVICE_TLS_PORT.`));
    });
    server.listen({ host, port }, () => resolve());
  });
}
