import { randomBytes } from 'node:crypto';
import { SystemClock } from '../../src/platform/clock/clock.js';
import { canonicalize, type JsonObject } from '../../src/messages/canonical-json.js';
import { bodyOf, isSignature, readMessage, sign, signingInput } from '../../src/messages/signed-message.js';
import { TestApp, type RegisteredDevice } from '../factories/app.js';
import { endAll, mqttConnect, publishTo, subscribeTo, type Connected } from '../factories/mqtt-client.js';
import { nonce, signedBy, topicOf } from '../factories/signing-device.js';
import { until } from '../factories/until.js';
import { FakeSharedStore } from '../fakes/fake-shared-store.js';

interface Challenges {
  readonly data: { readonly challenges: string[]; readonly nonce: string; readonly seconds: number };
}

describe('a device without a clock', () => {
  let app: TestApp;
  let store: FakeSharedStore;
  let port: number;
  let devices = 0;
  const open: Connected[] = [];

  beforeAll(async () => {
    store = new FakeSharedStore({ clock: new SystemClock() });
    app = await TestApp.start({ broker: true, gateway: true, store });
    port = app.broker?.port ?? 0;
  });

  afterEach(() => endAll(open.splice(0)));

  afterAll(() => app.stop());

  const register = (clockless = true): Promise<RegisteredDevice> =>
    app.registerDevice(`clockless-${(devices += 1)}`, { credentials: ['secret', 'hmac'], clockless });

  const connectAs = async (device: RegisteredDevice): Promise<Connected> => {
    const connected = await mqttConnect(port, { clientId: device.id, username: device.id, password: device.client_secret });
    open.push(connected);
    expect(await subscribeTo(connected.client, topicOf(device, 'config/challenge'))).toBe(1);
    return connected;
  };

  /** Answers that the cloud signed for this device and this question. */
  const answersTo = (device: RegisteredDevice, { received }: Connected, asked: string): Challenges['data'][] => {
    const topic = topicOf(device, 'config/challenge');
    return received.filter((message) => message.topic === topic).flatMap(({ payload }) => {
      const read = readMessage({ topic, payload: Buffer.from(payload) }, 'devices');
      if ('reason' in read || read.signature === null) throw new Error('the answer is not signed');
      expect(isSignature(Buffer.from(device.hmac_secret, 'hex'), read.signature.input, read.signature.sig)).toBe(true);
      const { data } = bodyOf(read) as unknown as Challenges;
      return data.nonce === asked ? [data] : [];
    });
  };

  /** Asked again until it is answered: the gateway may still be on its way. */
  const challengesFor = async (device: RegisteredDevice, session: Connected, count = 1): Promise<string[]> => {
    const asked = nonce();
    await until('the challenges', async () => {
      await publishTo(session.client, topicOf(device, 'events/challenge'), JSON.stringify({ nonce: asked, count }));
      return answersTo(device, session, asked).length > 0;
    });
    return answersTo(device, session, asked)[0]?.challenges ?? [];
  };

  const challenged = (device: RegisteredDevice, channel: string, body: JsonObject, challenge: string): string => {
    const once = nonce();
    const sig = sign(Buffer.from(device.hmac_secret, 'hex'), signingInput(topicOf(device, channel), { challenge }, once, canonicalize(body)));
    return canonicalize({ ...body, challenge, nonce: once, sig });
  };

  const verify = async (device: RegisteredDevice, message: string, on = app): Promise<string> => {
    const { body } = await on.call<{ verified: boolean; reason?: string }>('POST', '/messages/verify', { topic: topicOf(device, 'telemetry'), message });
    return body.verified ? 'verified' : (body.reason ?? '');
  };

  const audited = async (device: RegisteredDevice, eventType: string): Promise<Record<string, unknown>[]> =>
    (await app.call<{ items: { details: Record<string, unknown> }[] }>('GET', `/audit/logs?deviceId=${device.id}&eventType=${eventType}`)).body.items
      .map(({ details }) => details);

  const stateOf = async (device: RegisteredDevice) =>
    (await app.call<{ status: string; reportedStatus: string | null; clockless: boolean }>('GET', `/devices/${device.id}`)).body;

  it('is given challenges by a signed answer to its own nonce, and is believed when it signs one', async () => {
    const device = await register();
    const session = await connectAs(device);
    const [first = '', second = ''] = await challengesFor(device, session, 2);
    expect(second).not.toBe(first);
    await publishTo(session.client, topicOf(device, 'status'), challenged(device, 'status', { status: 'ERROR' }, first));
    await until('the reported status', async () => (await stateOf(device)).reportedStatus === 'ERROR');
    await publishTo(session.client, topicOf(device, 'status'), challenged(device, 'status', { status: 'ONLINE' }, second));
    await until('the next status', async () => (await stateOf(device)).reportedStatus === 'ONLINE');
  });

  it('uses each challenge once, whatever the message; to use one again is refused, told, and suspends nobody', async () => {
    const device = await register();
    const session = await connectAs(device);
    const [challenge = ''] = await challengesFor(device, session);
    await publishTo(session.client, topicOf(device, 'status'), challenged(device, 'status', { status: 'ONLINE' }, challenge));
    for (let i = 0; i < 12; i += 1) {
      await publishTo(session.client, topicOf(device, 'status'), challenged(device, 'status', { status: 'ERROR' }, challenge));
    }
    await until('the record', async () => (await audited(device, 'REPLAY_DETECTED')).length > 0);
    const [last = ''] = await challengesFor(device, session);
    await publishTo(session.client, topicOf(device, 'status'), challenged(device, 'status', { status: 'MAINTENANCE' }, last));
    await until('the end of the queue', async () => (await stateOf(device)).reportedStatus === 'MAINTENANCE');
    expect(await stateOf(device)).toMatchObject({ status: 'ACTIVE' });
  });

  it('is believed by one of two instances, by one of a hundred messages under one challenge', async () => {
    const device = await register();
    const [challenge = ''] = await challengesFor(device, await connectAs(device));
    const second = await TestApp.start({ database: app.database, config: app.config, store });
    try {
      const answers = await Promise.all(Array.from({ length: 100 }, (_, i) =>
        verify(device, challenged(device, 'telemetry', { data: i }, challenge), i % 2 ? app : second)));
      expect(answers.filter((answer) => answer === 'verified')).toHaveLength(1);
      expect(new Set(answers)).toEqual(new Set(['verified', 'REPLAY']));
    } finally {
      await second.stop();
    }
  });

  it('is not believed with a challenge of another device, an invented one, or once it is no longer marked', async () => {
    const [device, other] = [await register(), await register()];
    const session = await connectAs(device);
    const [mine = '', spare = ''] = await challengesFor(device, session, 2);
    expect(await verify(other, challenged(other, 'telemetry', { data: 1 }, mine))).toBe('STALE');
    expect(await verify(device, challenged(device, 'telemetry', { data: 1 }, randomBytes(33).toString('base64url')))).toBe('STALE');
    expect(await verify(device, challenged(other, 'telemetry', { data: 1 }, mine))).toBe('BAD_SIGNATURE');
    expect(await verify(device, challenged(device, 'telemetry', { data: 1 }, mine))).toBe('verified');
    const { body } = await app.call('PATCH', `/devices/${device.id}`, { clockless: false });
    expect(body).toMatchObject({ clockless: false });
    expect(await verify(device, challenged(device, 'telemetry', { data: 1 }, spare))).toBe('STALE');
    expect((await audited(device, 'DEVICE_UPDATED'))[0]).toMatchObject({ fields: ['clockless'], clockless: false });
  });

  it('with a clock asks in vain: the question is an unsigned message like any other', async () => {
    const device = await register(false);
    const session = await connectAs(device);
    const asked = nonce();
    await until('the record of the refusal', async () => {
      await publishTo(session.client, topicOf(device, 'events/challenge'), JSON.stringify({ nonce: asked }));
      return (await audited(device, 'HMAC_FAILURE')).some(({ reason }) => reason === 'UNSIGNED');
    });
    expect(answersTo(device, session, asked)).toEqual([]);
    expect(await verify(device, signedBy(device, 'telemetry', { data: 1 }))).toBe('verified');
  });

  it('is given no more than its share, told once; a question that is none is refused', async () => {
    const device = await register();
    const session = await connectAs(device);
    await challengesFor(device, session, 16);
    for (let i = 0; i < 20; i += 1) await publishTo(session.client, topicOf(device, 'events/challenge'), JSON.stringify({ nonce: nonce(), count: 16 }));
    await publishTo(session.client, topicOf(device, 'events/challenge'), '{"nonce":"short"}');
    await until('the record of the bad question', async () => (await audited(device, 'MESSAGE_REJECTED')).some(({ reason }) => reason === 'MALFORMED'));
    const given = session.received.map(({ payload }) => (JSON.parse(payload) as Challenges).data.challenges.length);
    expect(given.reduce((sum, count) => sum + count, 0)).toBeLessThan(20 * 16);
    await until('the record of the excess', async () => (await audited(device, 'RATE_LIMITED')).length > 0);
    expect((await audited(device, 'RATE_LIMITED')).filter(({ reason }) => reason === 'CHALLENGE_BUDGET')).toHaveLength(1);
  });
});
