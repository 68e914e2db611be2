import { Readable } from 'node:stream';
import {
  Injectable, SetMetadata, StreamableFile, type CallHandler, type ExecutionContext, type NestInterceptor,
} from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { from, lastValueFrom, type Observable } from 'rxjs';
import type { Principal } from '../access/principal.js';
import { fingerprintOf, type JsonValue } from './fingerprint.js';
import { idempotencyError } from './idempotency.errors.js';
import type { KeyName } from './idempotency.repository.js';
import { IdempotencyService } from './idempotency.service.js';

const EXCLUDED = 'portcullis:not-idempotent';
const WRITES = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);
const VISIBLE_ASCII = /^[\u0021-\u007e]{1,255}$/;

type AuthenticatedRequest = FastifyRequest & { readonly principal?: Principal };

/** The route pays no heed to `Idempotency-Key`, because its answer cannot be kept or must not be told again. */
export function NotIdempotent(): MethodDecorator {
  return SetMetadata(EXCLUDED, true);
}

/**
 * `Idempotency-Key` for every write of a caller in a tenant: a repetition is not run but answered as the first one was, with
 * `Idempotency-Replayed: true`. Only successes are kept; a request that was refused or failed may be repeated.
 * It stands behind the guard, so a repetition needs the same rights as the first.
 */
@Injectable()
export class IdempotencyInterceptor implements NestInterceptor {
  constructor(
    private readonly service: IdempotencyService,
    private readonly reflector: Reflector,
  ) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    if (context.getType() !== 'http') return next.handle();
    const request = context.switchToHttp().getRequest<AuthenticatedRequest>();
    const name = keyOf(request);
    if (!name || request.body instanceof Readable) return next.handle();
    if (this.reflector.getAllAndOverride<true | undefined>(EXCLUDED, [context.getHandler(), context.getClass()])) {
      return next.handle();
    }
    return from(this.once(name, request, context.switchToHttp().getResponse<FastifyReply>(), next));
  }

  private async once(name: KeyName, request: FastifyRequest, reply: FastifyReply, next: CallHandler): Promise<unknown> {
    const fingerprint = fingerprintOf(request.method, request.url, request.body as JsonValue | undefined);
    const beginning = await this.service.begin(name, fingerprint);
    if ('answer' in beginning) {
      void reply.header('idempotency-replayed', 'true').status(beginning.answer.status);
      return beginning.answer.body;
    }
    const { turn } = beginning;
    let result: unknown;
    try {
      result = await this.service.holding(turn, () => lastValueFrom(next.handle(), { defaultValue: undefined }));
    } catch (error) {
      await this.service.release(turn);
      throw error;
    }
    if (isStream(result) || reply.statusCode >= 400) await this.service.release(turn);
    else await this.service.finish(turn, reply.statusCode, result);
    return result;
  }
}

/** @throws IDEMPOTENCY_KEY_INVALID */
function keyOf({ method, headers, principal }: AuthenticatedRequest): KeyName | null {
  const key = headers['idempotency-key'];
  if (key === undefined || !WRITES.has(method) || !principal || principal.tenantId === null) return null;
  // A header that was sent twice arrives joined by a comma and a space, and is refused with the rest.
  if (typeof key !== 'string' || !VISIBLE_ASCII.test(key)) throw idempotencyError('IDEMPOTENCY_KEY_INVALID');
  // Two access tokens of one person are two callers: the one may be allowed less than the other.
  const id = principal.kind === 'pat' ? principal.credentialId : principal.id;
  return { tenantId: principal.tenantId, principal: `${principal.kind}:${id}`, key };
}

function isStream(value: unknown): boolean {
  return value instanceof StreamableFile || value instanceof Readable;
}
