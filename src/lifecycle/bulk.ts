import { plainToInstance } from 'class-transformer';
import { validate } from 'class-validator';
import { Injectable } from '@nestjs/common';
import type { TenantPrincipal } from '../access/principal.js';
import { flatten } from '../platform/http/validation.js';
import type { AppError } from '../platform/problem/app-error.js';
import { platformError } from '../platform/problem/platform.errors.js';
import { toAppError } from '../platform/problem/problem.filter.js';
import { logger } from '../platform/telemetry/logger.js';
import { RegisterDeviceRequest } from './lifecycle.dto.js';
import { lifecycleError } from './lifecycle.errors.js';
import { showRegistered } from './lifecycle.view.js';
import { RegistrationService } from './registration.service.js';

const MAX_LINE_BYTES = 64 * 1024;
const MAX_LINES = 100_000;
/** Lines under way at once: enough to keep Postgres busy, few enough to leave connections for others. */
const CONCURRENCY = 4;
const NEWLINE = 0x0a;

/** One line of the answer, in the order of the request. */
export type BulkResult =
  | { readonly line: number; readonly status: 201; readonly device: object }
  | { readonly line: number; readonly status: number; readonly problem: { readonly code: string; readonly title: string; readonly detail?: string; readonly errors?: readonly object[] } };

/** Registers many devices, a JSON object a line; each line succeeds or fails alone. */
@Injectable()
export class BulkRegistration {
  constructor(private readonly registration: RegistrationService) {}

  /** Results as NDJSON lines, in order, as they come; reading slower than we write holds the work back. */
  async *run(me: TenantPrincipal, body: AsyncIterable<Buffer>): AsyncGenerator<string> {
    const underWay: Promise<BulkResult>[] = [];
    let number = 0;
    for await (const line of linesOf(body)) {
      number += 1;
      if (number > MAX_LINES) {
        underWay.push(Promise.resolve(refused(number, lifecycleError('BULK_TOO_LONG'))));
        break;
      }
      if (line !== null && line.length === 0) continue;
      underWay.push(this.registerLine(me, number, line));
      if (underWay.length >= CONCURRENCY) yield printed(await (underWay.shift() as Promise<BulkResult>));
    }
    for (const result of underWay) yield printed(await result);
  }

  private async registerLine(me: TenantPrincipal, line: number, bytes: Buffer | null): Promise<BulkResult> {
    try {
      const request = await readLine(bytes);
      const registered = await this.registration.register(me, request);
      return { line, status: 201, device: showRegistered(registered, this.registration.connectHints(registered)) };
    } catch (thrown) {
      const error = toAppError(thrown);
      if (error.status >= 500) logger.error({ err: thrown, line }, 'a bulk line failed');
      return refused(line, error);
    }
  }
}

function printed(result: BulkResult): string {
  return `${JSON.stringify(result)}\n`;
}

function refused(line: number, error: AppError): BulkResult {
  const { code, title, detail, errors } = error;
  return { line, status: error.status, problem: { code, title, ...(detail === undefined ? {} : { detail }), ...(errors ? { errors } : {}) } };
}

async function readLine(bytes: Buffer | null): Promise<RegisterDeviceRequest> {
  let parsed: unknown;
  try {
    parsed = bytes === null ? undefined : JSON.parse(bytes.toString('utf8'));
  } catch {
    parsed = undefined;
  }
  if (parsed === null || typeof parsed !== 'object' || Array.isArray(parsed)) throw lifecycleError('BULK_LINE_MALFORMED');
  const request = plainToInstance(RegisterDeviceRequest, parsed);
  const errors = await validate(request, { whitelist: true, forbidNonWhitelisted: true });
  if (errors.length > 0) throw platformError('VALIDATION_FAILED', { errors: flatten(errors) });
  return request;
}

/** Lines without their end; `null` for one that is too long, which is skipped up to its end and not held in memory. */
async function* linesOf(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer | null> {
  let held: Buffer = Buffer.alloc(0);
  let tooLong = false;
  for await (const chunk of body) {
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE, from); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
      const line = Buffer.concat([held, chunk.subarray(from, end)]);
      yield tooLong || line.length > MAX_LINE_BYTES ? null : trimmed(line);
      held = Buffer.alloc(0);
      tooLong = false;
      from = end + 1;
    }
    const rest = chunk.subarray(from);
    if (tooLong || held.length + rest.length > MAX_LINE_BYTES) {
      tooLong = true;
      held = Buffer.alloc(0);
    } else {
      held = Buffer.concat([held, rest]);
    }
  }
  if (tooLong) yield null;
  else if (held.length > 0) yield trimmed(held);
}

function trimmed(line: Buffer): Buffer {
  return line.at(-1) === 0x0d ? line.subarray(0, -1) : line;
}
