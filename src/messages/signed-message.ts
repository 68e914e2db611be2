import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { CanonicalWriter, canonicalize, parseJson, parseStrict, sortedNames, type JsonObject, type JsonValue } from './canonical-json.js';
import { readCanonicalText, type TextMember } from './canonical-text.js';
import { readTopic, type MessageAddress } from './message-topic.js';

/** More is MALFORMED. */
export const MAX_PAYLOAD_BYTES = 8192;
const NONCE = /^[A-Za-z0-9_-]{16,64}$/;
const CHALLENGE = /^[A-Za-z0-9_-]{16,128}$/;
const SIGNATURE_BYTES = 32;
/** Members that stand beside the body. */
const ENVELOPE: ReadonlySet<string> = new Set(['ts', 'nonce', 'sig', 'challenge']);
const REPORTED = ['ONLINE', 'OFFLINE', 'MAINTENANCE', 'ERROR'] as const;

export type ReportedStatus = (typeof REPORTED)[number];

/** MQTT 5 user properties that sign an opaque payload. */
export interface SigningProperties {
  readonly ts?: string;
  readonly nonce?: string;
  readonly sig?: string;
}

export interface IncomingMessage {
  readonly topic: string;
  readonly payload: Buffer;
  readonly properties?: SigningProperties;
}

/** What a sender signs beside topic and body: the time, or a challenge that it was given. */
export type Freshness = { readonly ts: number } | { readonly challenge: string };

/** The signature of a message, still to be judged. */
export interface Signature {
  readonly freshness: Freshness;
  readonly nonce: string;
  /** As sent: 64 lower-case hex digits if it is to verify. */
  readonly sig: string;
  /** The bytes that were signed. */
  readonly input: string;
}

/** A message of the right shape. */
export interface ReadMessage {
  readonly address: MessageAddress;
  /** Null: it bears none. */
  readonly signature: Signature | null;
  /** Parsed, with the envelope; null for an opaque payload. */
  readonly content: JsonObject | null;
  /** What is handed on: the whole message in canonical JSON, or the opaque payload as it came. */
  readonly verified: Buffer;
}

export type ReadFailure = { readonly reason: 'MALFORMED' | 'WRONG_TOPIC'; readonly address: MessageAddress | null };

/** Version 1 of what is signed, in UTF-8. `v1c` stands where a challenge takes the place of the time. */
export function signingInput(topic: string, freshness: Freshness, nonce: string, body: string): string {
  return 'ts' in freshness ? `v1\n${topic}\n${freshness.ts}\n${nonce}\n${body}` : `v1c\n${topic}\n${freshness.challenge}\n${nonce}\n${body}`;
}

/** HMAC-SHA256 (RFC 2104) as 64 lower-case hex digits. @param key 32 bytes */
export function sign(key: Buffer, input: string): string {
  return createHmac('sha256', key).update(input, 'utf8').digest('hex');
}

/** Whether `sig` is the signature of `input`; takes the same time wherever the two differ. */
export function isSignature(key: Buffer, input: string, sig: string): boolean {
  return readSignature(sig) && timingSafeEqual(GIVEN, createHmac('sha256', key).update(input, 'utf8').digest());
}

/** The signature that is being judged; nothing waits between its reading and its comparison. */
const GIVEN = Buffer.alloc(SIGNATURE_BYTES);

/** Whether it is 64 lower-case hex digits; their bytes then stand in `GIVEN`. */
function readSignature(sig: string): boolean {
  if (sig.length !== 2 * SIGNATURE_BYTES) return false;
  for (let i = 0; i < SIGNATURE_BYTES; i += 1) {
    const byte = (hexDigit(sig.charCodeAt(2 * i)) << 4) | hexDigit(sig.charCodeAt(2 * i + 1));
    if (byte < 0) return false;
    GIVEN[i] = byte;
  }
  return true;
}

/** Its value; −1: none of `0`–`9`, `a`–`f`. */
function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  return code >= 0x61 && code <= 0x66 ? code - 0x57 : -1;
}

/** A signed message of ours: canonical JSON with `ts`, `nonce` and `sig`. */
export function signMessage(key: Buffer, topic: string, body: JsonObject, ts: number, nonce: string): string {
  const sig = sign(key, signingInput(topic, { ts }, nonce, canonicalize(body)));
  return canonicalize({ ...body, ts, nonce, sig });
}

/** 16 to 64 characters that need no escape anywhere. */
export function isNonce(text: string): boolean {
  return NONCE.test(text);
}

/** Total: whatever the bytes, an answer and no throw. Judges neither signature nor time. */
export function readMessage(message: IncomingMessage, prefix: string): ReadMessage | ReadFailure {
  const address = readTopic(message.topic, prefix);
  if (typeof address === 'string') return { reason: address, address: null };
  if (message.payload.length > MAX_PAYLOAD_BYTES) return { reason: 'MALFORMED', address };
  const { ts, nonce, sig } = message.properties ?? {};
  const bare = ts === undefined && nonce === undefined && sig === undefined;
  return (bare ? readJson(message, address) : readOpaque(message, address)) ?? { reason: 'MALFORMED', address };
}

/** JSON form. Null: malformed. */
function readJson({ topic, payload }: IncomingMessage, address: MessageAddress): ReadMessage | null {
  const text = decodeUtf8(payload);
  const written = text === null ? null : (readPlainly(text, payload) ?? readClosely(text));
  if (written === null) return null;
  const { content } = written;
  const { ts, nonce, sig, challenge } = content;
  if (sig === undefined) {
    return { address, signature: null, content, verified: Buffer.from(canonicalize({ ...content, sig: null }), 'utf8') };
  }
  const freshness = readFreshness(ts, challenge);
  if (freshness === null || typeof nonce !== 'string' || !NONCE.test(nonce) || typeof sig !== 'string') return null;
  if (!fits(address, content)) return null;
  const input = signingInput(topic, freshness, nonce, written.body);
  return { address, signature: { freshness, nonce, sig, input }, content, verified: written.whole };
}

/** A message taken apart: what it says, and its canonical form with and without the envelope. */
interface WrittenMessage {
  readonly content: JsonObject;
  readonly whole: Buffer;
  readonly body: string;
}

/** The short way, for text that is canonical as it came. Null: the long way has to tell. */
function readPlainly(text: string, payload: Buffer): WrittenMessage | null {
  const read = readCanonicalText(text);
  const content = read === null ? undefined : parseJson(text);
  if (read === null || content === undefined || !isObject(content)) return null;
  const whole = read.sorted ? payload : Buffer.from(objectOf(read.members, false), 'utf8');
  return { content, whole, body: objectOf(read.members, true) };
}

function objectOf(members: readonly TextMember[], withoutEnvelope: boolean): string {
  let text = '{';
  for (const { name, text: member } of members) {
    if (withoutEnvelope && ENVELOPE.has(name)) continue;
    text += text.length === 1 ? member : `,${member}`;
  }
  return `${text}}`;
}

function readClosely(text: string): WrittenMessage | null {
  const parsed = parseStrict(text);
  if (parsed === null || !isObject(parsed.value)) return null;
  const content = parsed.value;
  const writer = new CanonicalWriter();
  const whole: string[] = [];
  const body: string[] = [];
  for (const name of sortedNames(content)) {
    const written = writer.member(content, name);
    whole.push(written);
    if (!ENVELOPE.has(name)) body.push(written);
  }
  // A name that stood twice is written once.
  if (writer.members !== parsed.members) return null;
  return { content, whole: Buffer.from(`{${whole.join(',')}}`, 'utf8'), body: `{${body.join(',')}}` };
}

/** Opaque form: any payload, signed by its digest. Only where nothing in the payload has to be understood. */
function readOpaque({ topic, payload, properties = {} }: IncomingMessage, address: MessageAddress): ReadMessage | null {
  const { ts = '', nonce = '', sig } = properties;
  if (address.kind !== 'telemetry' && address.kind !== 'events') return null;
  if (!/^(?:0|[1-9][0-9]{0,15})$/.test(ts) || !NONCE.test(nonce) || sig === undefined || bearsSignature(payload)) return null;
  const freshness = { ts: Number(ts) };
  const input = signingInput(topic, freshness, nonce, createHash('sha256').update(payload).digest('hex'));
  return { address, signature: { freshness, nonce, sig, input }, content: null, verified: payload };
}

/** Whether the payload is a message signed in the JSON form as well. */
function bearsSignature(payload: Buffer): boolean {
  const text = decodeUtf8(payload);
  const parsed = text === null ? null : parseStrict(text);
  return parsed !== null && isObject(parsed.value) && parsed.value['sig'] !== undefined;
}

function readFreshness(ts: JsonValue | undefined, challenge: JsonValue | undefined): Freshness | null {
  if (challenge === undefined) return Number.isSafeInteger(ts) && Number(ts) >= 0 ? { ts: Number(ts) } : null;
  return ts === undefined && typeof challenge === 'string' && CHALLENGE.test(challenge) ? { challenge } : null;
}

/** What the sender said, without the envelope; null for an opaque payload. */
export function bodyOf({ content }: ReadMessage): JsonObject | null {
  if (content === null) return null;
  const { ts: _ts, nonce: _nonce, sig: _sig, challenge: _challenge, ...body } = content;
  return body;
}

/** Whether the body is what its channel demands; further members are the sender's affair. */
export function fits({ kind }: MessageAddress, body: JsonObject): boolean {
  switch (kind) {
    case 'status':
      return REPORTED.some((status) => status === body['status']);
    case 'ack':
      return typeof body['cmdId'] === 'string' && (body['status'] === 'ACKED' || body['status'] === 'FAILED')
        && (body['error'] === undefined || typeof body['error'] === 'string');
    case 'commands':
      return typeof body['cmdId'] === 'string' && typeof body['type'] === 'string' && body['payload'] !== undefined;
    default:
      return body['data'] !== undefined;
  }
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decodeUtf8(bytes: Buffer): string | null {
  try {
    return UTF8.decode(bytes);
  } catch {
    return null;
  }
}
