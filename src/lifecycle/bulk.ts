import { plainToInstance } from 'class-transformer';
import { validate } from 'class-validator';
import { Injectable } from '@nestjs/common';
import type { TenantPrincipal } from '../access/principal.js';
import { isStoreUnavailable } from '../platform/database/database-errors.js';
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
/** Lines that share a transaction: one commit then costs little beside the rows. */
const BATCH = 50;
/** Batches under way at once: while Postgres writes one, the next is read. Others keep most of the connections. */
const CONCURRENCY = 2;
const NEWLINE = 0x0a;

interface BulkRefusal {
  readonly line: number;
  readonly status: number;
  readonly problem: { readonly code: string; readonly title: string; readonly detail?: string; readonly errors?: readonly object[] };
}

/** One line of the answer, in the order of the request. */
export type BulkResult = { readonly line: number; readonly status: 201; readonly device: object } | BulkRefusal;

interface Line {
  readonly number: number;
  /** `null`: it was too long to be read. */
  readonly bytes: Buffer | null;
}

interface GoodLine {
  readonly number: number;
  readonly request: RegisterDeviceRequest;
}

/** Registers many devices, a JSON object a line; each line succeeds or fails alone. */
@Injectable()
export class BulkRegistration {
  constructor(private readonly registration: RegistrationService) {}

  /** Results as NDJSON lines, in order, as they come; reading slower than we write holds the work back. */
  async *run(me: TenantPrincipal, body: AsyncIterable<Buffer>): AsyncGenerator<string> {
    const underWay: Promise<BulkResult[]>[] = [];
    let batch: Line[] = [];
    let number = 0;
    for await (const bytes of linesOf(body)) {
      number += 1;
      if (number > MAX_LINES) break;
      if (bytes !== null && bytes.length === 0) continue;
      batch.push({ number, bytes });
      if (batch.length < BATCH) continue;
      underWay.push(this.registerLines(me, batch));
      batch = [];
      if (underWay.length >= CONCURRENCY) yield printed(await (underWay.shift() as Promise<BulkResult[]>));
    }
    underWay.push(this.registerLines(me, batch));
    if (number > MAX_LINES) underWay.push(Promise.resolve([refused(number, lifecycleError('BULK_TOO_LONG'))]));
    for (const results of underWay) yield printed(await results);
  }

  /** All good lines in one transaction; if Postgres or a rule refuses any of them, each in its own. Never rejects. */
  private async registerLines(me: TenantPrincipal, lines: readonly Line[]): Promise<BulkResult[]> {
    const read = await Promise.all(lines.map(readLine));
    const good = read.filter((line): line is GoodLine => !('problem' in line));
    if (good.length === 0) return read as BulkResult[];
    let results: BulkResult[];
    try {
      results = await this.registerTogether(me, good);
    } catch (thrown) {
      results = [];
      // Where Postgres cannot be reached, asking it for each line again would only keep everybody waiting.
      for (const line of good) results.push(isStoreUnavailable(thrown) ? failed(line.number, thrown) : await this.registerLine(me, line));
    }
    const byLine = new Map(results.map((result) => [result.line, result]));
    return read.map((line) => ('problem' in line ? line : byLine.get(line.number)) as BulkResult);
  }

  private async registerLine(me: TenantPrincipal, line: GoodLine): Promise<BulkResult> {
    try {
      const [result] = await this.registerTogether(me, [line]);
      return result as BulkResult;
    } catch (thrown) {
      return failed(line.number, thrown);
    }
  }

  private async registerTogether(me: TenantPrincipal, lines: readonly GoodLine[]): Promise<BulkResult[]> {
    const registered = await this.registration.registerAll(me, lines.map(({ request }) => request));
    return registered.map((registration, index) => ({
      line: lines[index]?.number ?? 0,
      status: 201,
      device: showRegistered(registration, this.registration.connectHints(registration)),
    }));
  }
}

function printed(results: readonly BulkResult[]): string {
  return results.map((result) => `${JSON.stringify(result)}\n`).join('');
}

function failed(line: number, thrown: unknown): BulkRefusal {
  const error = toAppError(thrown);
  if (error.status >= 500) logger.error({ err: thrown, line }, 'a bulk line failed');
  return refused(line, error);
}

function refused(line: number, error: AppError): BulkRefusal {
  const { code, title, detail, errors } = error;
  return { line, status: error.status, problem: { code, title, ...(detail === undefined ? {} : { detail }), ...(errors ? { errors } : {}) } };
}

async function readLine({ number, bytes }: Line): Promise<GoodLine | BulkRefusal> {
  let parsed: unknown;
  try {
    parsed = bytes === null ? undefined : JSON.parse(bytes.toString('utf8'));
  } catch {
    parsed = undefined;
  }
  if (parsed === null || typeof parsed !== 'object' || Array.isArray(parsed)) return refused(number, lifecycleError('BULK_LINE_MALFORMED'));
  const request = plainToInstance(RegisterDeviceRequest, parsed);
  const errors = await validate(request, { whitelist: true, forbidNonWhitelisted: true });
  if (errors.length > 0) return refused(number, platformError('VALIDATION_FAILED', { errors: flatten(errors) }));
  return { number, request };
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
