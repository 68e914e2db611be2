import http from 'node:http';
import { SystemClock } from '../platform/clock/clock.js';
import type { BrokerLogger } from './broker-types.js';

export type CallbackAnswer =
  | { readonly ok: true; readonly body: Readonly<Record<string, unknown>> }
  /** Whatever is not a 200 with a JSON object; never a verdict. */
  | { readonly ok: false; readonly why: string };

export interface CallbackClientOptions {
  /** Origin of the internal listener. */
  readonly url: string;
  readonly secret: string;
  /** For one question, waiting for a free connection included. */
  readonly timeoutMs: number;
  readonly logger: BrokerLogger;
}

const MAX_ANSWER_BYTES = 2 * 1024 * 1024;
const MAX_CONNECTIONS = 32;
const MAX_ATTEMPTS = 3;
const LOG_EVERY_MS = 60_000;

/** Asks the internal listener as EMQX's HTTP connector does: JSON over a few kept connections. Never throws. */
export class CallbackClient {
  private readonly agent = new http.Agent({ keepAlive: true, maxSockets: MAX_CONNECTIONS });
  private readonly open = new Set<AbortController>();
  private readonly lastLogged = new Map<string, number>();
  private readonly clock = new SystemClock();
  private readonly origin: URL;
  private closed = false;

  constructor(private readonly options: CallbackClientOptions) {
    this.origin = new URL(options.url);
    if (this.origin.protocol !== 'http:') throw new Error('The embedded broker asks over plain http on loopback only.');
  }

  /** All values of `question` are strings, as EMQX renders them. */
  async ask(hook: 'mqtt-auth' | 'mqtt-acl', question: Readonly<Record<string, string>>): Promise<CallbackAnswer> {
    if (this.closed) return { ok: false, why: 'the broker is stopping' };
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(new Error('no answer in time')), this.options.timeoutMs);
    this.open.add(abort);
    try {
      const body = await this.post(`/api/v1/internal/${hook}`, JSON.stringify(question), abort.signal);
      return { ok: true, body };
    } catch (error) {
      const reason: unknown = abort.signal.aborted ? abort.signal.reason : error;
      const why = reason instanceof Error ? reason.message : String(reason);
      this.complain(hook, why);
      return { ok: false, why };
    } finally {
      clearTimeout(timer);
      this.open.delete(abort);
    }
  }

  /** Ends open questions; they are answered as failures. */
  close(): void {
    this.closed = true;
    for (const abort of this.open) abort.abort(new Error('the broker is stopping'));
    this.agent.destroy();
  }

  private async post(path: string, payload: string, signal: AbortSignal): Promise<Record<string, unknown>> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await readJson(await this.send(path, payload, signal));
      } catch (error) {
        // The server may close an idle connection in the very moment it is used; EMQX repeats the question as well.
        if (!(error instanceof StaleConnection) || attempt === MAX_ATTEMPTS) throw error;
      }
    }
  }

  private send(path: string, payload: string, signal: AbortSignal): Promise<http.IncomingMessage> {
    return new Promise((resolve, reject) => {
      const request = http.request(new URL(path, this.origin), {
        agent: this.agent,
        method: 'POST',
        signal,
        headers: {
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(payload),
          'X-Internal-Auth': this.options.secret,
        },
      });
      request.on('response', resolve);
      request.on('error', (error: NodeJS.ErrnoException) => {
        const stale = request.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
        reject(stale ? new StaleConnection(error.message) : error);
      });
      request.end(payload);
    });
  }

  /** One line a minute for each kind of failure: an outage must not fill the disk. */
  private complain(hook: string, why: string): void {
    const now = this.clock.now();
    if (this.closed || now - (this.lastLogged.get(why) ?? 0) < LOG_EVERY_MS) return;
    this.lastLogged.set(why, now);
    const hint = why === 'status 404' ? '; does the broker have the same MQTT_INTERNAL_AUTH_SECRET?' : '';
    this.options.logger.warn({ hook, why }, `broker callback failed, the client is refused${hint}`);
  }
}

class StaleConnection extends Error {}

async function readJson(response: http.IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response) {
    const bytes = chunk as Buffer;
    size += bytes.length;
    if (size > MAX_ANSWER_BYTES) throw new Error('answer too large');
    chunks.push(bytes);
  }
  if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`);
  // Case-sensitive, and without a default: so is EMQX's authenticator.
  if (!response.headers['content-type']?.startsWith('application/json')) throw new Error('answer is not JSON');
  const value = parseJson(Buffer.concat(chunks).toString('utf8'));
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('answer is no JSON object');
  return value as Record<string, unknown>;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The parser's own message would quote the answer.
    throw new Error('answer is not JSON');
  }
}
