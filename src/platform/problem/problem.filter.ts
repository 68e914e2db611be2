import { Catch, HttpException, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { requestContext } from '../context/request-context.js';
import { isStoreUnavailable } from '../database/database-errors.js';
import { logger } from '../telemetry/logger.js';
import { AppError } from './app-error.js';
import { errorAnchor } from './error-page.js';
import { platformError } from './platform.errors.js';

/** Problem details (RFC 9457) as every refusal of the REST edge bears them. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail?: string;
  readonly instance: string;
  readonly code: string;
  readonly requestId: string | null;
  readonly errors?: readonly { path: string; message: string }[];
}

/** Renders every error; what is not known becomes a bare 500, so that a forgotten case leaks nothing. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(private readonly publicUrl: string) {}

  catch(thrown: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    sendProblem(thrown, this.publicUrl, http.getRequest<FastifyRequest>(), http.getResponse<FastifyReply>());
  }
}

/** As the filter, for errors that Fastify meets before Nest does. */
export function sendProblem(thrown: unknown, publicUrl: string, request: FastifyRequest, reply: FastifyReply): void {
  const error = toAppError(thrown);
  if (error.status >= 500) logger.error({ err: thrown, code: error.code, internal: error.internal }, 'a request failed');
  else logger.debug({ code: error.code, internal: error.internal ?? error.detail }, 'a request was refused');
  if (reply.sent || reply.raw.headersSent) {
    // A stream that had begun cannot change its status any more: cutting it is the only honest end.
    reply.raw.destroy();
    return;
  }
  for (const [name, value] of Object.entries(error.headers ?? {})) void reply.header(name, value);
  const problem: Problem = {
    type: `${publicUrl}/docs/errors#${errorAnchor(error.code)}`,
    title: error.title,
    status: error.status,
    ...(error.detail === undefined ? {} : { detail: error.detail }),
    instance: request.url.split('?')[0] ?? '/',
    code: error.code,
    requestId: requestContext()?.requestId ?? request.id,
    ...(error.errors === undefined ? {} : { errors: error.errors }),
  };
  void reply.status(error.status).header('content-type', 'application/problem+json; charset=utf-8').send(JSON.stringify(problem));
}

/** Maps what libraries throw to our catalogue. */
export function toAppError(thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown;
  if (isStoreUnavailable(thrown)) return platformError('STORE_UNAVAILABLE', { cause: thrown, headers: { 'retry-after': '2' } });
  const status = thrown instanceof HttpException ? thrown.getStatus() : (thrown as { statusCode?: unknown } | null)?.statusCode;
  switch (status) {
    case 400:
      return platformError('MALFORMED_REQUEST', { cause: thrown });
    case 404:
      return platformError('NOT_FOUND', { cause: thrown });
    case 405:
      return platformError('METHOD_NOT_ALLOWED', { cause: thrown });
    case 413:
      return platformError('BODY_TOO_LARGE', { cause: thrown });
    case 415:
      return platformError('UNSUPPORTED_MEDIA_TYPE', { cause: thrown });
    default:
      return platformError('INTERNAL_ERROR', { cause: thrown });
  }
}
