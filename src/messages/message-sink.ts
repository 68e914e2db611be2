import { Injectable, type OnModuleInit } from '@nestjs/common';
import { InternalRoutes, type InternalAnswer } from '../platform/http/internal-routes.js';
import { MessageIntake } from './message-intake.js';
import type { IncomingMessage, SigningProperties } from './signed-message.js';

export const SINK_PATH = '/api/v1/internal/mqtt-messages';

interface SunkMessage {
  readonly incoming: IncomingMessage;
  readonly retained: boolean;
  readonly duplicate: boolean;
}

/**
 * The message path for a broker's rule engine, which posts each message to the internal listener in place of a subscription of
 * ours. 503 asks it to post again: the message is neither accepted nor refused.
 */
@Injectable()
export class MessageSink implements OnModuleInit {
  constructor(
    private readonly routes: InternalRoutes,
    private readonly intake: MessageIntake,
  ) {}

  onModuleInit(): void {
    this.routes.register(SINK_PATH, (body) => this.sink(body));
  }

  private async sink(body: Buffer): Promise<InternalAnswer> {
    const message = readSunk(body);
    if (message === null) return { status: 400, json: '{"verified":false,"reason":"MALFORMED"}' };
    const { incoming, retained, duplicate } = message;
    const outcome = await this.intake.take(incoming, { retained, duplicate, again: false });
    switch (outcome) {
      case 'later':
        return { status: 503 };
      case 'verified':
      case 'known':
        return { status: 200, json: '{"verified":true}' };
      case 'challenged':
        return { status: 200, json: '{"verified":false,"challenged":true}' };
      default:
        return { status: 200, json: JSON.stringify({ verified: false, reason: outcome === 'dropped' ? 'RATE_LIMITED' : outcome }) };
    }
  }
}

/** `topic`, and `payload` as text or `payload_base64`; `retain`, `dup` and the user properties `ts`, `nonce`, `sig` where there are any. */
export function readSunk(body: Buffer): SunkMessage | null {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body.toString('utf8'));
  } catch {
    return null;
  }
  if (typeof parsed !== 'object' || parsed === null) return null;
  const { topic, payload, payload_base64: encoded, retain, dup, properties } = parsed as Record<string, unknown>;
  if (typeof topic !== 'string' || (typeof payload === 'string') === (typeof encoded === 'string')) return null;
  const bytes = typeof encoded === 'string' ? Buffer.from(encoded, 'base64') : Buffer.from(String(payload), 'utf8');
  const signing = readProperties(properties);
  return {
    incoming: { topic, payload: bytes, ...(signing ? { properties: signing } : {}) },
    retained: isTrue(retain),
    duplicate: isTrue(dup),
  };
}

function readProperties(given: unknown): SigningProperties | null {
  if (typeof given !== 'object' || given === null) return null;
  const found: Record<string, string> = {};
  for (const name of ['ts', 'nonce', 'sig']) {
    const value = (given as Record<string, unknown>)[name];
    // What a template could not fill in stays as it was written.
    if (typeof value === 'string' && value !== '' && value !== 'undefined' && !value.startsWith('${')) found[name] = value;
  }
  return Object.keys(found).length === 0 ? null : found;
}

/** A template writes everything as text. */
function isTrue(value: unknown): boolean {
  return value === true || value === 'true' || value === 1 || value === '1';
}
