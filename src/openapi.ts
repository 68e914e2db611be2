import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { DocumentBuilder, SwaggerModule, type OpenAPIObject } from '@nestjs/swagger';
import { AppModule } from './app.module.js';
import { UnmanagedBroker } from './lifecycle/broker-control.js';
import { SystemClock } from './platform/clock/clock.js';
import type { Config } from './platform/config/config.js';
import { globalPrefix } from './platform/http/prefix.js';
import { MemoryStore } from './platform/redis/memory-store.js';

/** The OpenAPI document, generated from the routes and their shapes. */
export function openApiDocument(app: NestFastifyApplication): OpenAPIObject {
  const options = new DocumentBuilder()
    .setTitle('Portcullis')
    .setDescription('Device security for an MQTT fleet: identities, rules, audit.')
    .setVersion('1')
    .addBearerAuth({ type: 'http', scheme: 'bearer', bearerFormat: 'JWT' }, 'bearer')
    .addCookieAuth('access_token', { type: 'apiKey', in: 'cookie' }, 'cookie')
    .addBasicAuth({ type: 'http', scheme: 'basic', description: 'deviceId:pcs_…' }, 'device')
    .addApiKey({ type: 'apiKey', in: 'header', name: 'X-Admin-Key' }, 'adminKey')
    .build();
  const document = SwaggerModule.createDocument(app, options, {
    operationIdFactory: (controller, method) => `${controller.replace(/Controller$/, '')}.${method}`,
  });
  return addProblemResponses(document);
}

/** The document without a running application: nothing is connected to, no provider is made. */
export async function describeApi(config: Config): Promise<OpenAPIObject> {
  const store = new MemoryStore({ clock: new SystemClock() });
  const module = AppModule.forRoot({ config, store, brokerControl: new UnmanagedBroker() });
  const app = await NestFactory.create<NestFastifyApplication>(module, new FastifyAdapter(), { preview: true, logger: false });
  globalPrefix(app);
  return openApiDocument(app);
}

/** Swagger UI at `/docs`, the document itself at `/docs/openapi.json`. */
export function serveOpenApi(app: NestFastifyApplication, document: OpenAPIObject): void {
  SwaggerModule.setup('docs', app, document, { jsonDocumentUrl: 'docs/openapi.json', customSiteTitle: 'Portcullis API' });
}

/** Every operation may answer a problem (RFC 9457): said once here instead of on each handler. */
function addProblemResponses(document: OpenAPIObject): OpenAPIObject {
  const problem = {
    type: 'object',
    required: ['type', 'title', 'status', 'instance', 'code', 'requestId'],
    properties: {
      type: { type: 'string', format: 'uri' },
      title: { type: 'string' },
      status: { type: 'integer' },
      detail: { type: 'string' },
      instance: { type: 'string' },
      code: { type: 'string', description: 'Stable; docs/errors.md lists them all.' },
      requestId: { type: 'string', nullable: true },
      errors: {
        type: 'array',
        items: { type: 'object', properties: { path: { type: 'string' }, message: { type: 'string' } }, required: ['path', 'message'] },
      },
    },
  };
  document.components = { ...document.components, schemas: { ...document.components?.schemas, Problem: problem } };
  for (const item of Object.values(document.paths)) {
    for (const method of ['get', 'post', 'put', 'patch', 'delete'] as const) {
      const operation = item[method];
      if (!operation) continue;
      operation.responses['default'] = {
        description: 'A refusal',
        content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      };
    }
  }
  return document;
}
