import { readFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { makeChallenge, readChallenge } from './challenge.js';
import { type DeviceStanding, type Judgement, type JudgeOptions, verifyMessage } from './message.decision.js';
import { type IncomingMessage, MAX_PAYLOAD_BYTES, sign, signMessage } from './signed-message.js';

interface Vector {
  readonly name: string;
  readonly topic: string;
  readonly message?: string;
  readonly payload?: string;
  readonly properties?: Record<string, string>;
  readonly now: number;
  readonly signingInput: string;
  readonly signature: string;
  readonly reason: string | null;
  readonly clockless?: boolean;
}

const file = JSON.parse(readFileSync('docs/device-protocol-vectors.json', 'utf8')) as
  { prefix: string; deviceId: string; secrets: string[]; challengeKey: string; vectors: Vector[] };
const { vectors, deviceId } = file;
const keys = file.secrets.map((hex, index) => ({ id: `k${index}`, key: Buffer.from(hex, 'hex'), expiresAt: null }));
const [key = Buffer.alloc(0)] = keys.map((one) => one.key);
const ACTIVE = { status: 'ACTIVE', tenantStatus: 'ACTIVE', clockless: true } as const;
const challengeKey = Buffer.from(file.challengeKey, 'hex');
const challengeGivenAt = (id: string, challenge: string): number | null => readChallenge(challengeKey, id, challenge);
const NOW = 1_767_225_600_000;
const telemetry = `devices/${deviceId}/telemetry`;

function judge(message: IncomingMessage, more: Partial<JudgeOptions> = {}, device: DeviceStanding = ACTIVE): Judgement {
  return verifyMessage(message, 'devices', device, keys, { now: NOW, requireSignatures: true, rememberedSince: 0, challengeGivenAt, ...more }).judgement;
}

const incoming = ({ topic, message, payload, properties }: Vector): IncomingMessage => ({
  topic,
  payload: message === undefined ? Buffer.from(payload ?? '', 'hex') : Buffer.from(message, 'utf8'),
  ...(properties ? { properties } : {}),
});

const signed = (body = { data: { t: 1 } }, ts = NOW): IncomingMessage => ({
  topic: telemetry,
  payload: Buffer.from(signMessage(key, telemetry, body, ts, randomBytes(16).toString('base64url'))),
});

describe('the verifier', () => {
  it.each(vectors.map((vector) => [vector.name, vector] as const))('agrees with the vector: %s', (_, vector) => {
    const judgement = judge(incoming(vector), { now: vector.now }, { ...ACTIVE, clockless: vector.clockless ?? true });
    expect(judgement.ok ? null : judgement.reason).toBe(vector.reason);
    const signer = keys.find((one) => sign(one.key, vector.signingInput) === vector.signature);
    if (vector.reason === null) expect(signer).toBeDefined();
  });

  it('says which secret it was, and takes none whose time is over', () => {
    const message = signed();
    expect(judge(message)).toEqual({ ok: true, secretId: 'k0', at: NOW });
    const options = { now: NOW, requireSignatures: true, rememberedSince: 0, challengeGivenAt };
    const ended = keys.map((one, index) => (index === 0 ? { ...one, expiresAt: NOW } : one));
    expect(verifyMessage(message, 'devices', ACTIVE, ended, options).judgement).toEqual({ ok: false, reason: 'BAD_SIGNATURE' });
    expect(verifyMessage(message, 'devices', ACTIVE, [], options).judgement).toEqual({ ok: false, reason: 'BAD_SIGNATURE' });
  });

  it('judges the standing of the device before its signature', () => {
    const options = { now: NOW, requireSignatures: true, rememberedSince: 0, challengeGivenAt };
    const by = (device: Parameters<typeof verifyMessage>[2]) => verifyMessage(signed(), 'devices', device, keys, options).judgement;
    expect(by(null)).toEqual({ ok: false, reason: 'WRONG_TOPIC' });
    for (const status of ['PENDING', 'SUSPENDED', 'QUARANTINED', 'DECOMMISSIONED']) {
      expect(by({ ...ACTIVE, status })).toEqual({ ok: false, reason: 'DEVICE_STATE' });
    }
    expect(by({ ...ACTIVE, tenantStatus: 'FROZEN' })).toEqual({ ok: false, reason: 'DEVICE_STATE' });
  });

  it('accepts no time of which nobody remembers the nonces', () => {
    expect(judge(signed(undefined, NOW - 10_000), { rememberedSince: NOW - 9_999 })).toEqual({ ok: false, reason: 'STALE', forgotten: true });
    expect(judge(signed(undefined, NOW - 9_999), { rememberedSince: NOW - 9_999 })).toMatchObject({ ok: true });
  });

  it('takes a challenge for the device, the key and the time that it was made for, and in one spelling only', () => {
    const challenge = makeChallenge(challengeKey, deviceId, NOW);
    expect(challengeGivenAt(deviceId, challenge)).toBe(NOW);
    expect(challengeGivenAt(deviceId.replace(/.$/, '2'), challenge)).toBeNull();
    expect(readChallenge(Buffer.alloc(32), deviceId, challenge)).toBeNull();
    for (let at = 0; at < challenge.length; at += 1) {
      const other = challenge[at] === 'A' ? 'B' : 'A';
      expect(challengeGivenAt(deviceId, challenge.slice(0, at) + other + challenge.slice(at + 1))).toBeNull();
    }
    for (const spelling of [`${challenge}=`, `${challenge} `, challenge.slice(0, -1), `${challenge}A`, '']) {
      expect(challengeGivenAt(deviceId, spelling)).toBeNull();
    }
    expect(makeChallenge(challengeKey, deviceId, NOW)).not.toBe(challenge);
  });

  it('accepts no challenge from before the nonce store began to remember', () => {
    const vector = vectors.find(({ name }) => name === 'challenge form, of a device without a clock') as Vector;
    expect(judge(incoming(vector), { now: vector.now, rememberedSince: vector.now - 29_999 })).toEqual({ ok: false, reason: 'STALE', forgotten: true });
    expect(judge(incoming(vector), { now: vector.now, rememberedSince: vector.now - 30_000 })).toMatchObject({ ok: true, at: vector.now - 30_000 });
  });

  it('hands on the canonical bytes that were signed', () => {
    const text = signMessage(key, telemetry, { data: { b: 1, a: 'ü' } }, NOW, 'n'.repeat(16));
    const spaced = JSON.stringify(JSON.parse(text), null, 2);
    const { message } = verifyMessage({ topic: telemetry, payload: Buffer.from(spaced) }, 'devices', ACTIVE, keys,
      { now: NOW, requireSignatures: true, rememberedSince: 0, challengeGivenAt });
    expect(message?.verified.toString()).toBe(text);
  });

  it('lets a message without signature through only where that is wanted, and marks it', () => {
    const bare = { topic: telemetry, payload: Buffer.from('{"data":1}') };
    expect(judge(bare)).toEqual({ ok: false, reason: 'UNSIGNED' });
    expect(judge(bare, { requireSignatures: false })).toEqual({ ok: true, secretId: null, at: NOW });
    expect(judge({ topic: telemetry, payload: Buffer.from('{"value":1}') }, { requireSignatures: false })).toEqual({ ok: false, reason: 'MALFORMED' });
    const { message } = verifyMessage(bare, 'devices', ACTIVE, keys, { now: NOW, requireSignatures: false, rememberedSince: 0, challengeGivenAt });
    expect(message?.verified.toString()).toBe('{"data":1,"sig":null}');
  });

  it('refuses what is larger than 8192 bytes, whatever it says', () => {
    const fill = (size: number) => signed({ data: { t: 1, fill: 'x'.repeat(size) } } as never);
    const room = MAX_PAYLOAD_BYTES - fill(0).payload.length;
    expect(judge(fill(room))).toMatchObject({ ok: true });
    expect(judge(fill(room + 1))).toEqual({ ok: false, reason: 'MALFORMED' });
  });

  it('neither throws nor accepts what was changed, however it was changed', () => {
    const runs = 100_000;
    let seed = 20_260_101;
    const next = (below: number): number => {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    const good = vectors.filter(({ reason }) => reason === null);
    let refused = 0;
    for (let run = 0; run < runs; run += 1) {
      const vector = good[next(good.length)] as Vector;
      const { topic, payload, properties } = incoming(vector);
      const changed = mutate(payload, next);
      const judgement = judge({ topic, payload: changed, ...(properties ? { properties } : {}) }, { now: vector.now });
      // White space and other ways to write the same message are the same message.
      if (judgement.ok) expect(sameMessage(payload, changed)).toBe(true);
      else refused += 1;
    }
    expect(refused).toBeGreaterThan(runs * 0.8);
  });
});

function sameMessage(before: Buffer, after: Buffer): boolean {
  if (before.equals(after)) return true;
  const read = (bytes: Buffer): unknown => JSON.parse(bytes.toString('utf8'));
  return JSON.stringify(sorted(read(before))) === JSON.stringify(sorted(read(after)));
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, member]) => [name, sorted(member)]));
}

function mutate(payload: Buffer, next: (below: number) => number): Buffer {
  const bytes = Buffer.from(payload);
  const at = next(bytes.length);
  const until = Math.min(bytes.length, at + 1 + next(8));
  switch (next(7)) {
    case 0:
      bytes[at] = (bytes[at] ?? 0) ^ (1 << next(8));
      return bytes;
    case 1:
      bytes[at] = next(256);
      return bytes;
    case 2:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(until)]);
    case 3:
      return Buffer.concat([bytes.subarray(0, until), bytes.subarray(at)]);
    case 4:
      return bytes.subarray(0, at);
    case 5:
      return Buffer.concat([bytes.subarray(0, at), randomBytes(1 + next(4)), bytes.subarray(at)]);
    default: {
      const word = ['"', '\\', '{', '}', '[', ',', ':', '\\ud800', '1e999', '"sig":"', 'null', '\u0000', '\ufeff', '"ts":1,', ' '][next(15)] ?? '';
      return Buffer.concat([bytes.subarray(0, at), Buffer.from(word), bytes.subarray(at)]);
    }
  }
}
